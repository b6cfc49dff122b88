"""An unchanged ServerApp and ClientApp see what Flower would show them."""

import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.logger import FLOWER_LOGGER
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from simulations.grid import InProcessGrid, simulate

Turn = Callable[[Message, Context], Message]


def _app(turn: Turn) -> ClientApp:
    app = ClientApp()
    app.train()(turn)
    return app


def _echo(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


def _say(message: Message, **values: float) -> Message:
    return Message(RecordDict({"said": MetricRecord(dict(values))}), reply_to=message)


def _ask(grid: Grid, content: RecordDict | None = None, **options: float) -> list[Message]:
    """One train message to every participant, all with the same content."""
    content = RecordDict() if content is None else content
    return [Message(content, node, MessageType.TRAIN, **options) for node in grid.get_node_ids()]


def _numbers() -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord([np.arange(4, dtype=np.float32)]),
            "config": ConfigRecord({"list": [1], "round": 1}),
        }
    )


# --- FedAvg, by hand ---------------------------------------------------------------------------


def _weighted(message: Message, context: Context) -> Message:
    """Participant i replies with the constant i, weighted by i + 1."""
    i = int(context.node_config["partition-id"])
    content = RecordDict(
        {
            "arrays": ArrayRecord([np.full(2, float(i), np.float32)]),
            "metrics": MetricRecord({"num-examples": i + 1, "loss": float(i)}),
        }
    )
    return Message(content, reply_to=message)


def _fedavg_server(rounds: int = 2, **options: float) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        arrays = ArrayRecord([np.zeros(2, np.float32)])
        strategy = FedAvg(fraction_evaluate=0.0, **options)
        result = strategy.start(grid, arrays, num_rounds=rounds)
        context.state["arrays"] = result.arrays
        context.state["metrics"] = result.train_metrics_clientapp[rounds]

    return app


def test_fedavg_averages_by_hand() -> None:
    """Values 0, 1, 2 with weights 1, 2, 3 average to (0 + 2 + 6) / 6 = 4/3."""
    context = simulate(_fedavg_server(), _app(_weighted), n_participants=3, log_level=logging.ERROR)
    np.testing.assert_allclose(context.state["arrays"]["0"].numpy(), 4 / 3, rtol=1e-6)
    assert context.state["metrics"]["loss"] == pytest.approx(4 / 3)


def test_a_failing_participant_costs_nobody_else() -> None:
    def fails(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 1:
            raise ZeroDivisionError("no data")
        return _weighted(message, context)

    context = simulate(_fedavg_server(), _app(fails), n_participants=3, log_level=logging.ERROR)
    np.testing.assert_allclose(context.state["arrays"]["0"].numpy(), 6 / 4, rtol=1e-6)


def test_the_same_seed_gives_the_same_bits() -> None:
    def noisy(message: Message, context: Context) -> Message:
        i = int(context.node_config["partition-id"])
        draw = np.random.default_rng(i).normal(size=2).astype(np.float32)
        metrics = MetricRecord({"num-examples": 1 + i})
        return Message(
            RecordDict({"arrays": ArrayRecord([draw]), "metrics": metrics}), reply_to=message
        )

    def once(seed: int) -> bytes:
        server = _fedavg_server(fraction_train=0.5)
        context = simulate(
            server, _app(noisy), n_participants=20, seed=seed, log_level=logging.ERROR
        )
        return context.state["arrays"]["0"].data

    assert once(3) == once(3)
    assert once(3) != once(4)


# --- what a participant sees --------------------------------------------------------------------


def test_each_participant_has_its_own_context() -> None:
    def turn(message: Message, context: Context) -> Message:
        assert context.run_config == {"lr": 0.5}
        assert context.run_id == message.metadata.run_id
        assert context.node_id == message.metadata.dst_node_id
        values = [context.node_config[k] for k in ("partition-id", "num-partitions")]
        return _say(message, i=values[0], n=values[1], days=context.node_config.get("days", 0))

    extras = {1: {"days": 60}}
    grid = InProcessGrid(_app(turn), 3, run_config={"lr": 0.5}, node_configs=extras)
    with grid:
        replies = list(grid.send_and_receive(_ask(grid)))
    said = [dict(reply.content["said"]) for reply in replies]
    assert said == [{"i": i, "n": 3, "days": 60 * (i == 1)} for i in range(3)]


def test_state_lasts_from_round_to_round_and_stays_private() -> None:
    def count(message: Message, context: Context) -> Message:
        seen = context.state.setdefault("n", MetricRecord({"n": 0}))
        seen["n"] += 1 + context.node_config["partition-id"]
        return _say(message, n=seen["n"])

    with InProcessGrid(_app(count), 2) as grid:
        rounds = [
            [r.content["said"]["n"] for r in grid.send_and_receive(_ask(grid))] for _ in "abc"
        ]
    assert rounds == [[1, 2], [2, 4], [3, 6]]


@pytest.mark.parametrize(
    ("spoils", "said"), [(False, [1, None, 3]), (True, [1, None, 2])], ids=["kept", "spoilt"]
)
def test_what_a_failed_turn_noted_is_kept_as_on_a_supernode(
    spoils: bool, said: list[int | None]
) -> None:
    """Unless it left what cannot be kept."""

    def turn(message: Message, context: Context) -> Message:
        seen = context.state.setdefault("n", MetricRecord({"n": 0}))
        seen["n"] += 1
        if message.content["config"]["fail"]:
            if spoils:
                context.run_config = {"other": 1}
            raise ValueError("no")
        return _say(message, n=seen["n"])

    with InProcessGrid(_app(turn), 1) as grid:
        found = []
        for fail in (False, True, False):
            ask = _ask(grid, RecordDict({"config": ConfigRecord({"fail": fail})}))
            [reply] = grid.send_and_receive(ask)
            found.append(None if reply.has_error() else reply.content["said"]["n"])
    assert found == said


def test_what_a_participant_keeps_a_hold_of_cannot_reach_its_state_or_the_server() -> None:
    held: list[RecordDict] = []

    def turn(message: Message, context: Context) -> Message:
        for records in held:  # change everything from earlier turns
            records["m"]["x"] = -1.0
        reply = RecordDict({"m": MetricRecord({"x": 1.0})})
        context.state.setdefault("m", MetricRecord({"x": 1.0}))
        value = context.state["m"]["x"]
        held.extend([reply, context.state])
        reply["state"] = MetricRecord({"x": value})
        return Message(reply, reply_to=message)

    with InProcessGrid(_app(turn), 1) as grid:
        replies = [*grid.send_and_receive(_ask(grid)), *grid.send_and_receive(_ask(grid))]
    assert [(r.content["m"]["x"], r.content["state"]["x"]) for r in replies] == [(1.0, 1.0)] * 2


def test_no_participant_can_change_what_others_or_the_server_see() -> None:
    def vandal(message: Message, context: Context) -> Message:
        seen = message.content["config"]["round"] + len(message.content["config"]["list"])
        message.content["config"]["list"].append(2)
        message.content["config"]["round"] = 7
        message.content["arrays"]["0"].data = b""
        message.content["arrays"].clear()
        message.metadata.group_id = "mine"
        del message.content["arrays"]
        return _say(message, seen=seen)

    content = _numbers()
    with InProcessGrid(_app(vandal), 3) as grid:
        asked = _ask(grid, content)
        replies = list(grid.send_and_receive(asked))
    assert [reply.content["said"]["seen"] for reply in replies] == [2, 2, 2]
    assert content == _numbers()
    assert {message.metadata.group_id for message in asked} == {""}


def test_the_server_may_change_a_message_after_pushing_it() -> None:
    content = _numbers()
    with InProcessGrid(_app(_echo), 1) as grid:
        ids = list(grid.push_messages(_ask(grid, content)))
        content["config"]["round"] = 9
        [reply] = grid.pull_messages(ids)
    assert reply.content["config"]["round"] == 1


def test_a_generator_may_change_the_content_as_it_goes() -> None:
    content = _numbers()

    with InProcessGrid(_app(_echo), 3) as grid:

        def asking():
            for i, node in enumerate(grid.get_node_ids()):
                content["config"]["round"] = i
                yield Message(content, node, MessageType.TRAIN)

        replies = list(grid.send_and_receive(asking()))
    assert [reply.content["config"]["round"] for reply in replies] == [0, 1, 2]


def test_mods_and_message_types_work() -> None:
    app = ClientApp()

    def double(message: Message, context: Context, call_next: Turn) -> Message:
        message.content["config"]["round"] *= 2
        return call_next(message, context)

    app.train("named", mods=[double])(_echo)
    with InProcessGrid(app, 1) as grid:
        [node] = grid.get_node_ids()
        asked = [Message(_numbers(), node, kind) for kind in ("train.named", "evaluate")]
        named, evaluated = grid.send_and_receive(asked)
    assert named.content["config"]["round"] == 2
    assert "No evaluate function" in evaluated.error.reason


# --- what goes wrong ----------------------------------------------------------------------------


def _raise(message: Message, context: Context) -> Message:
    raise KeyError("price")


def _exit(message: Message, context: Context) -> Message:
    sys.exit(3)


def _no_message(message: Message, context: Context) -> None:
    return None


def _not_a_reply(message: Message, context: Context) -> Message:
    return message


def _for_another(message: Message, context: Context) -> Message:
    message.metadata.dst_node_id = 12345
    return Message(RecordDict(), reply_to=message)


def _no_records(message: Message, context: Context) -> Message:
    reply = Message(RecordDict(), reply_to=message)
    reply.content = {"loss": 1.0}
    return reply


def _reconfigured(message: Message, context: Context) -> Message:
    context.run_config["lr"] = 1.0
    return Message(RecordDict(), reply_to=message)


def _spoilt_state(message: Message, context: Context) -> Message:
    context.state = {"a": 1}
    return Message(RecordDict(), reply_to=message)


def _long_lived(message: Message, context: Context) -> Message:
    reply = Message(RecordDict(), reply_to=message)
    reply.metadata.ttl = 1e6
    return reply


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (_raise, "<class 'KeyError'>:<''price''>"),
        (_exit, "<class 'SystemExit'>:<'3'>"),
        (_no_message, "NoneType"),
        (_not_a_reply, "reply_to_message_id"),
        (_for_another, "src_node_id"),
        (_no_records, "RecordDict"),
        (_reconfigured, "run_config"),
        (_spoilt_state, "RecordDict"),
        (_long_lived, "ttl"),
    ],
)
def test_what_a_participant_does_wrong_becomes_its_error_reply(turn: Turn, reason: str) -> None:
    def only_the_first(message: Message, context: Context) -> Message:
        bad = context.node_config["partition-id"] == 0
        return turn(message, context) if bad else _echo(message, context)

    with InProcessGrid(_app(only_the_first), 3) as grid:
        asked = _ask(grid, _numbers())
        replies = list(grid.send_and_receive(asked))
    assert [reply.has_error() for reply in replies] == [True, False, False]
    assert replies[0].error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert reason in replies[0].error.reason
    assert replies[0].metadata.src_node_id == asked[0].metadata.dst_node_id


def test_an_error_reply_of_the_app_itself_passes_and_keeps_its_state() -> None:
    def refuses(message: Message, context: Context) -> Message:
        n = context.state.setdefault("n", MetricRecord({"n": 0}))
        n["n"] += 1
        return Message(Error(100 + n["n"], "budget spent"), reply_to=message)

    with InProcessGrid(_app(refuses), 1) as grid:
        replies = [*grid.send_and_receive(_ask(grid)), *grid.send_and_receive(_ask(grid))]
    assert [(r.error.code, r.error.reason) for r in replies] == [
        (101, "budget spent"),
        (102, "budget spent"),
    ]


def test_ctrl_c_stops_the_run_and_restores_everything() -> None:
    def interrupted(message: Message, context: Context) -> Message:
        raise KeyboardInterrupt

    before, level = random.getstate(), FLOWER_LOGGER.level
    with pytest.raises(KeyboardInterrupt):
        simulate(_fedavg_server(), _app(interrupted), n_participants=2, log_level=logging.ERROR)
    assert random.getstate() == before
    assert FLOWER_LOGGER.level == level
    with pytest.raises(RuntimeError, match="run_id"):
        _ = TaskIdentity.run_id


def test_what_the_server_app_raises_passes_through() -> None:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        raise LookupError("server")

    with pytest.raises(LookupError, match="server"):
        simulate(app, _app(_echo), n_participants=2)


def test_an_unknown_node_gives_an_error_reply_in_its_place() -> None:
    with InProcessGrid(_app(_echo), 2) as grid:
        first, second = _ask(grid)
        stranger = Message(RecordDict(), 99, MessageType.TRAIN)
        replies = list(grid.send_and_receive([first, stranger, second]))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[1].error.code == ErrorCode.NODE_UNAVAILABLE
    assert "99" in replies[1].error.reason


# --- messages, ids, order, time ------------------------------------------------------------------


def test_metadata_of_messages_and_replies_are_linked() -> None:
    with InProcessGrid(_app(_echo), 3, seed=5) as grid:
        asked = _ask(grid, _numbers(), ttl=600.0)
        replies = list(grid.send_and_receive(asked))
        run = grid.run
    assert len({m.metadata.message_id for m in asked + replies} - {""}) == 6
    for message, reply in zip(asked, replies, strict=True):
        given, got = message.metadata, reply.metadata
        assert got.reply_to_message_id == given.message_id
        assert (got.src_node_id, got.dst_node_id) == (given.dst_node_id, given.src_node_id)
        assert got.run_id == given.run_id == run.run_id
        assert got.message_type == MessageType.TRAIN
        assert got.created_at + got.ttl <= given.created_at + given.ttl + 1e-6


def test_node_ids_follow_from_the_seed_and_are_distinct() -> None:
    def ids(seed: int) -> list[int]:
        return list(InProcessGrid(_app(_echo), 1000, seed=seed).get_node_ids())

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert len(set(ids(1))) == 1000
    assert all(1 < node < 2**63 for node in ids(1))


def test_replies_come_in_the_order_of_sending_whatever_the_order_of_pulling() -> None:
    with InProcessGrid(_app(_echo), 5) as grid:
        asked = _ask(grid)[::-1]
        ids = list(grid.push_messages(asked))
        replies = list(grid.pull_messages(ids[::2][::-1])) + list(grid.pull_messages(ids[1::2]))
    order = [reply.metadata.reply_to_message_id for reply in replies]
    assert order == ids[::2] + ids[1::2]


def test_a_reply_is_given_once_and_unknown_ids_give_errors() -> None:
    with InProcessGrid(_app(_echo), 1) as grid:
        ids = list(grid.push_messages(_ask(grid)))
        [reply] = grid.pull_messages(ids)
        again = list(grid.pull_messages([*ids, "nonsense"]))
    assert reply.has_content()
    assert [r.error.code for r in again] == [ErrorCode.MESSAGE_UNAVAILABLE] * 2
    assert {r.metadata.reply_to_message_id for r in again} == {*ids, "nonsense"}


def test_one_participant_answers_several_messages_in_order() -> None:
    def count(message: Message, context: Context) -> Message:
        n = context.state.setdefault("n", MetricRecord({"n": 0}))
        n["n"] += 1
        return _say(message, n=n["n"])

    with InProcessGrid(_app(count), 2) as grid:
        replies = list(grid.send_and_receive(_ask(grid) + _ask(grid)))
    assert [r.content["said"]["n"] for r in replies] == [1, 1, 2, 2]


def test_after_the_timeout_the_replies_that_are_there_are_returned() -> None:
    def slow(message: Message, context: Context) -> Message:
        time.sleep(0.15)
        return _echo(message, context)

    with InProcessGrid(_app(slow), 3) as grid:
        asked = _ask(grid)
        in_time = list(grid.send_and_receive(asked, timeout=0.1))
        late = list(grid.pull_messages([m.metadata.message_id for m in asked[1:]]))
    assert [r.metadata.src_node_id for r in in_time + late] == list(grid.get_node_ids())
    assert len(in_time) == 1


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_message_expires_with_its_time_to_live(delay: float) -> None:
    def slow(message: Message, context: Context) -> Message:
        time.sleep(0.2 - delay)
        return _echo(message, context)

    with InProcessGrid(_app(slow), 1) as grid:
        ids = list(grid.push_messages(_ask(grid, ttl=0.1)))
        time.sleep(delay)
        [reply] = grid.pull_messages(ids)
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert reply.metadata.ttl == 0.0


def test_messages_that_are_no_instructions_of_this_run_are_refused() -> None:
    with InProcessGrid(_app(_echo), 1) as grid:
        [asked] = _ask(grid)
        [reply] = grid.send_and_receive([asked])
        with pytest.raises(ValueError, match="no reply"):
            grid.push_messages([reply])
        with pytest.raises(ValueError, match="ttl"):
            grid.push_messages(_ask(grid, ttl=-1.0))
    with InProcessGrid(_app(_echo), 1, seed=2) as other:
        with pytest.raises(ValueError, match="while the grid is open"):
            other.push_messages([asked])
        with pytest.raises(ValueError, match="not 3"):
            other.set_run(Run.create_empty(3))
        other.set_run(other.run)


def test_a_closed_grid_says_so() -> None:
    grid = InProcessGrid(_app(_echo), 1)
    with pytest.raises(RuntimeError, match="with InProcessGrid"):
        grid.push_messages([])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n_participants": 0}, ValueError, "got 0"),
        ({"n_workers": -1}, ValueError, "got -1"),
        ({"workers": "ray"}, ValueError, "'ray'"),
        ({"n_workers": 1, "workers": "processes"}, TypeError, "module:attribute"),
        ({"client_app": "nocolon"}, ValueError, "nocolon"),
        ({"client_app": "json:dumps"}, TypeError, "json:dumps"),
        ({"client_app": "no_such_module:app"}, ImportError, "no_such_module"),
    ],
)
def test_bad_arguments_are_named(options: dict, error: type[Exception], text: str) -> None:
    arguments = {"client_app": _app(_echo), "n_participants": 1, **options}
    with pytest.raises(error, match=text):
        InProcessGrid(**arguments)


def test_create_message_and_get_nodes_serve_older_apps() -> None:
    with InProcessGrid(_app(_echo), 2) as grid:
        nodes = [info.node_id for info in grid.get_nodes()]
        message = grid.create_message(_numbers(), "train", nodes[0], "g", ttl=5.0)
    assert nodes == list(grid.get_node_ids())
    assert (message.metadata.group_id, message.metadata.ttl) == ("g", 5.0)


# --- simulate -----------------------------------------------------------------------------------


def test_simulate_restores_identity_generators_and_log_level() -> None:
    TaskIdentity.run_id = 77
    try:
        python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        level = FLOWER_LOGGER.level
        simulate(_fedavg_server(), _app(_weighted), n_participants=2, log_level=logging.ERROR)
        assert TaskIdentity.run_id == 77
        assert random.getstate() == python
        assert np.random.get_state()[1].tolist() == numpy_state[1].tolist()  # noqa: NPY002
        assert FLOWER_LOGGER.level == level
    finally:
        TaskIdentity._run_id = None


def test_simulate_gives_the_server_its_state_and_configuration() -> None:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        context.state["n"]["n"] += context.run_config["step"]

    state = RecordDict({"n": MetricRecord({"n": 1})})
    context = simulate(
        app, _app(_echo), n_participants=1, run_config={"step": 2}, server_state=state
    )
    assert context.state["n"]["n"] == 3
    assert context.node_id == 1


def test_importing_the_grid_imports_neither_torch_nor_ray() -> None:
    code = "import sys, simulations.grid; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
