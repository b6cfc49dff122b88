"""Liars' replies are replaced, and nothing else is."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from simulations.attacks import (
    IPM,
    Attack,
    AttackedGrid,
    Copycat,
    FreeRider,
    Gaussian,
    Malformed,
    Mimic,
    NotFinite,
    OnOff,
    RoundView,
    SignFlip,
    UpdateAttack,
)
from simulations.grid import InProcessGrid, simulate

N = 5
LIARS = (1, 3)
VECTOR = np.array([10.0, 20.0, 30.0], dtype=np.float32)

Reply = Callable[[int, Message], RecordDict]


def _honest(number: int, message: Message) -> RecordDict:
    """Participant i sends the update (i + 1, -i - 1, round)."""
    place = message.content.config_records["config"].get("server-round", 0)
    update = np.array([number + 1.0, -number - 1.0, float(place)], dtype=np.float32)  # type: ignore[arg-type]
    return _content(update, number)


def _content(update: NDArray[Any], number: int) -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord({"update": Array(update)}),
            "metrics": MetricRecord({"num-examples": 10 * (number + 1), "loss": 0.5}),
        }
    )


def _app(reply: Reply = _honest) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        return Message(reply(number, message), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        return Message(_content(np.ones(3, np.float32), number), reply_to=message)

    @app.query("sum")
    def add(message: Message, context: Context) -> Message:
        return evaluate(message, context)

    return app


@contextmanager
def _grid(
    attack: Attack, reply: Reply = _honest, liars: Iterable[int] = LIARS, **options: Any
) -> Iterator[AttackedGrid]:
    with InProcessGrid(_app(reply), N, **options) as grid:
        yield AttackedGrid(grid, attack, tuple(liars), seed=7)


def _messages(
    grid: Grid, number: int | None = 1, kind: str = "train", vector: Any = VECTOR, episode: int = 0
) -> list[Message]:
    config = ConfigRecord({"episode": episode})
    if number is not None:
        config["server-round"] = number
    arrays = ArrayRecord({"vector": Array(np.asarray(vector, dtype=np.float32))})
    content = RecordDict({"arrays": arrays, "config": config})
    return [Message(content, node, kind) for node in grid.get_node_ids()]


def _update(reply: Message) -> list[float]:
    found: list[float] = reply.content.array_records["arrays"]["update"].numpy().tolist()
    return found


def _updates(replies: Iterable[Message]) -> list[list[float]]:
    return [_update(reply) for reply in replies]


def _expected(number: int, place: int = 1) -> list[float]:
    return [number + 1.0, -number - 1.0, float(place)]


# --- who is changed -----------------------------------------------------------------------------


def test_liars_replies_are_replaced_and_honest_ones_untouched() -> None:
    with _grid(SignFlip()) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    assert [reply.metadata.src_node_id for reply in replies] == list(grid.get_node_ids())
    for number, reply in enumerate(replies):
        sign = -1.0 if number in LIARS else 1.0
        assert _update(reply) == [sign * value for value in _expected(number)]
        metrics = dict(reply.content.metric_records["metrics"])
        assert metrics == {"num-examples": 10 * (number + 1), "loss": 0.5}


@pytest.mark.parametrize("kind", ["evaluate", "query.sum"])
def test_other_messages_pass_unchanged(kind: str) -> None:
    with _grid(NotFinite()) as grid:
        replies = list(grid.send_and_receive(_messages(grid, kind=kind)))
    assert _updates(replies) == [[1.0, 1.0, 1.0]] * N


def test_an_omniscient_attack_sees_the_honest_replies_in_order() -> None:
    """Honest participants 0, 2, 4 have mean (3, -3, 1)."""
    with _grid(IPM(epsilon=2.0)) as grid:
        updates = _updates(grid.send_and_receive(_messages(grid)))
    assert updates[1] == updates[3] == [-6.0, 6.0, -2.0]


def test_liars_may_lie_about_their_examples() -> None:
    with _grid(SignFlip(claimed_examples=10**12)) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    claims = [reply.content.metric_records["metrics"]["num-examples"] for reply in replies]
    assert claims == [10, 10**12, 30, 10**12, 50]


def test_nobody_lies_where_there_are_no_liars() -> None:
    with _grid(SignFlip(), liars=()) as grid:
        updates = _updates(grid.send_and_receive(_messages(grid)))
    assert updates == [_expected(number) for number in range(N)]


def test_all_may_lie() -> None:
    with _grid(IPM(epsilon=1.0), liars=range(N)) as grid:
        updates = _updates(grid.send_and_receive(_messages(grid)))
    assert updates == [[-3.0, 3.0, -1.0]] * N


def test_a_stranger_is_refused() -> None:
    with (
        InProcessGrid(_app(), N) as grid,
        pytest.raises(ValueError, match="attacker 5 is none of the 5 participants"),
    ):
        AttackedGrid(grid, SignFlip(), (2, 5))


# --- bad replies --------------------------------------------------------------------------------


def test_unusable_honest_replies_are_left_out_of_the_view() -> None:
    """0 fails, 2 sends NaN, 4 is alone; of another length is only what is no reply to this."""

    def reply(number: int, message: Message) -> RecordDict:
        if number == 0:
            raise ZeroDivisionError("no data")
        content = _honest(number, message)
        if number == 2:
            content = _content(np.full(3, np.nan, dtype=np.float32), number)
        return content

    with _grid(IPM(epsilon=1.0), reply) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    assert replies[0].has_error()
    assert _update(replies[1]) == [-5.0, 5.0, -1.0]


def test_a_liars_own_error_stays_an_error() -> None:
    def reply(number: int, message: Message) -> RecordDict:
        if number == 1:
            raise ZeroDivisionError("no data")
        if number == 3:
            return RecordDict({"arrays": ArrayRecord({"other": Array(np.zeros(2))})})
        return _honest(number, message)

    with _grid(IPM(epsilon=1.0), reply) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    assert replies[1].has_error()
    assert list(replies[3].content.array_records["arrays"]) == ["other"]
    assert _update(replies[4]) == _expected(4)


def test_updates_may_be_longer_than_the_vector() -> None:
    def reply(number: int, message: Message) -> RecordDict:
        return _content(np.arange(6, dtype=np.float32) + number, number)

    with _grid(SignFlip(), reply) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    assert _update(replies[1]) == [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]


def test_the_type_and_shape_of_an_update_stay() -> None:
    def reply(number: int, message: Message) -> RecordDict:
        return _content(np.full((1, 3), 2.0), number)

    with _grid(SignFlip(), reply) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    crafted = replies[1].content.array_records["arrays"]["update"].numpy()
    assert (crafted.dtype, crafted.tolist()) == (np.float64, [[-2.0, -2.0, -2.0]])


# --- rounds -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Watching(UpdateAttack):
    """Notes what it sees; sends its own updates."""

    views: list[RoundView]

    def remember(self, view: RoundView) -> dict[str, NDArray[Any]]:
        return {"n": np.array([view.memory["n"][0] + 1 if "n" in view.memory else 1])}

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        self.views.append(view)
        return view.own.copy()


def test_what_an_adversary_sees() -> None:
    views: list[RoundView] = []
    with _grid(_Watching(views=views)) as grid:
        for number in (1, 2):
            list(grid.send_and_receive(_messages(grid, number, vector=VECTOR * number)))
        list(grid.send_and_receive(_messages(grid, 1, episode=1)))
    first, second, other = views
    assert first.honest.tolist() == [_expected(number) for number in (0, 2, 4)]
    assert first.own.tolist() == [_expected(number) for number in LIARS]
    assert (first.vector.tolist(), first.previous) == (VECTOR.tolist(), None)
    assert second.previous is not None
    assert second.previous.tolist() == VECTOR.tolist()
    assert [view.round_number for view in views] == [1, 2, 1]
    assert first.honest_ids == (0, 2, 4)
    assert other.previous is None
    assert [view.memory["n"][0] for view in views] == [1, 2, 1]


def test_rounds_without_a_number_are_counted() -> None:
    views: list[RoundView] = []
    with _grid(_Watching(views=views)) as grid:
        for _ in range(3):
            list(grid.send_and_receive(_messages(grid, None)))
    assert [view.round_number for view in views] == [1, 2, 3]


def test_on_off_lies_in_some_rounds() -> None:
    attack = OnOff(attack=SignFlip(), honest_rounds=1, bad_rounds=1, claimed_examples=5)
    with _grid(attack) as grid:
        rounds = [list(grid.send_and_receive(_messages(grid, number))) for number in (1, 2, 3)]
    assert [_update(replies[1])[0] for replies in rounds] == [2.0, -2.0, 2.0]
    claims = [replies[1].content.metric_records["metrics"]["num-examples"] for replies in rounds]
    assert claims == [20, 5, 20]


def test_an_echo_repeats_the_last_change() -> None:
    with _grid(FreeRider(sends="echo")) as grid:
        first = list(grid.send_and_receive(_messages(grid, 1)))
        second = list(grid.send_and_receive(_messages(grid, 2, vector=VECTOR + 1.5)))
    assert _update(first[1]) == [0.0, 0.0, 0.0]
    assert _update(second[1]) == [1.5, 1.5, 1.5]


def test_the_same_seed_gives_the_same_lies_whoever_works() -> None:
    def once(**options: Any) -> list[list[float]]:
        with _grid(Gaussian(), **options) as grid:
            return [
                update
                for number in (1, 2)
                for update in _updates(grid.send_and_receive(_messages(grid, number)))
            ]

    alone = once()
    assert once() == alone
    assert once(n_workers=3) == alone
    assert alone[1] != alone[1 + N]  # another round, other noise


# --- push and pull ------------------------------------------------------------------------------


def test_push_and_pull_give_what_send_and_receive_gives() -> None:
    with _grid(Gaussian()) as grid:
        expected = _updates(grid.send_and_receive(_messages(grid)))
    with _grid(Gaussian()) as grid:
        ids = list(grid.push_messages(_messages(grid)))
        assert _updates(grid.pull_messages(ids)) == expected
        again = list(grid.pull_messages(ids[1:2]))
        assert again[0].has_error()  # each reply is there once


def test_a_liar_waits_for_the_others_of_its_round() -> None:
    """Asked for alone, its reply still follows from everybody's; theirs can be pulled later."""
    with _grid(IPM(epsilon=1.0)) as grid:
        ids = list(grid.push_messages(_messages(grid)))
        (liar,) = grid.pull_messages([ids[1]])
        assert _update(liar) == [-3.0, 3.0, -1.0]
        assert _updates(grid.pull_messages(ids[2:])) == [
            _expected(2),
            [-3.0, 3.0, -1.0],
            _expected(4),
        ]
        assert _updates(grid.pull_messages(ids[:1])) == [_expected(0)]


def test_messages_of_one_round_may_be_pushed_one_by_one() -> None:
    with _grid(IPM(epsilon=1.0)) as grid:
        ids = [i for m in _messages(grid) for i in grid.push_messages(iter([m]))]
        updates = _updates(grid.pull_messages(ids))
    assert updates[1] == updates[3] == [-3.0, 3.0, -1.0]


def test_a_generator_may_change_the_content_as_it_goes() -> None:
    """Each message is attacked as it was sent: participant i got the vector (i, i, i)."""
    views: list[RoundView] = []
    with _grid(_Watching(views=views), liars=(0,)) as grid:

        def messages() -> Iterator[Message]:
            (first, *others) = _messages(grid)
            for number, message in enumerate([first, *others]):
                vector = Array(np.full(3, number, dtype=np.float32))
                message.content.array_records["arrays"]["vector"] = vector
                yield message

        replies = list(grid.send_and_receive(messages()))
    assert len(replies) == N
    assert views[0].vector.tolist() == [0.0, 0.0, 0.0]


def test_a_slow_participant_is_not_waited_for_beyond_the_timeout() -> None:
    """Participant 4 is late: the liars make do without it, and its reply comes later, untouched."""
    import threading

    may_answer = threading.Event()

    def reply(number: int, message: Message) -> RecordDict:
        if number == 4:
            may_answer.wait(10.0)
        return _honest(number, message)

    with _grid(IPM(epsilon=1.0), reply, n_workers=2) as grid:
        messages = _messages(grid)
        replies = list(grid.send_and_receive(messages, timeout=0.3))
        assert [r.metadata.src_node_id for r in replies] == list(grid.get_node_ids())[:4]
        assert _update(replies[1]) == [-2.0, 2.0, -1.0]  # the mean of 0 and 2
        may_answer.set()
        late: list[Message] = []
        while not late:
            late = list(grid.pull_messages([messages[4].metadata.message_id]))
        assert _update(late[0]) == _expected(4)


def test_it_is_a_grid() -> None:
    with InProcessGrid(_app(), N) as inner:
        grid = AttackedGrid(inner, SignFlip(), LIARS)
        assert grid.run.run_id == inner.run.run_id
        grid.set_run(inner.run)
        node = next(iter(grid.get_node_ids()))
        message = grid.create_message(RecordDict(), "query.sum", node, "g", ttl=9.0)
        assert (message.metadata.dst_node_id, message.metadata.ttl) == (node, 9.0)


# --- Flower's own strategies --------------------------------------------------------------------


def _fed_avg(attack: Attack | None) -> NDArray[np.float32]:
    """Two layers of weights and a counter; participant i adds i + 1 to all weights."""

    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        arrays = {
            key: Array(array.numpy() + number + 1)
            for key, array in message.content.array_records["arrays"].items()
        }
        metrics = MetricRecord({"num-examples": 1})
        content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
        return Message(content, reply_to=message)

    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        arrays = {
            "a": Array(np.zeros((2, 2), np.float32)),
            "b": Array(np.ones(1, np.float64)),
            "count": Array(np.array([0], np.int64)),
        }
        strategy = FedAvg(fraction_evaluate=0.0)
        result = strategy.start(grid, ArrayRecord(arrays), num_rounds=1)
        context.state["arrays"] = result.arrays

    context = simulate(
        server,
        app,
        n_participants=4,
        log_level=logging.ERROR,
        around=None if attack is None else lambda grid: AttackedGrid(grid, attack, (3,)),
    )
    arrays = context.state["arrays"]
    assert arrays["a"].numpy().shape == (2, 2)
    assert arrays["count"].numpy().tolist() == [2.5]  # what is no weight stays honest
    return np.array([arrays["a"].numpy()[0, 0], arrays["b"].numpy()[0]])


def test_an_unchanged_flower_strategy_meets_liars() -> None:
    """Weights rise by (1 + 2 + 3 + 4) / 4 = 2.5; with the last one flipped by (6 - 4) / 4."""
    np.testing.assert_allclose(_fed_avg(None), [2.5, 3.5])
    np.testing.assert_allclose(_fed_avg(SignFlip()), [0.5, 1.5])
    np.testing.assert_allclose(_fed_avg(FreeRider()), [1.5, 2.5])
    np.testing.assert_allclose(_fed_avg(Copycat()), [1.75, 2.75])
    np.testing.assert_allclose(_fed_avg(Mimic()), [2.25, 3.25])  # it copies the largest


# --- whole replies ------------------------------------------------------------------------------


def test_a_tampered_reply_may_arrive_several_times() -> None:
    attack = Malformed(kinds=["no loss"], copies=3)
    with _grid(attack, liars=(0,)) as grid:
        replies = list(grid.send_and_receive(_messages(grid)))
    nodes = [reply.metadata.src_node_id for reply in replies]
    assert [nodes.count(node) for node in grid.get_node_ids()] == [3, 1, 1, 1, 1]
    assert all("loss" not in reply.content.metric_records["metrics"] for reply in replies[:3])
    assert replies[0].content is not replies[1].content


def test_kinds_of_damage_are_drawn_for_each_liar_and_round() -> None:
    kinds = ["a NaN", "no loss", "zero examples", "no record", "an error"]
    with _grid(Malformed(kinds=kinds)) as grid:
        texts = {
            repr(reply.__dict__["_content"]) + str(reply.has_error())
            for number in range(1, 21)
            for reply in list(grid.send_and_receive(_messages(grid, number)))[1:4:2]
        }
    assert len(texts) > 5
