"""How updates become a model, and what a bad reply costs."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedtrade.errors import ConfigurationError
from fedtrade.optimisers import ServerOptimiser, fed_adam, fed_avg, fed_avg_m, fed_yogi
from fedtrade.robust import Aggregation
from fedtrade.wire import LONGEST_REASON
from simulations.grid import InProcessGrid
from strategies.replies import plain_reason
from strategies.robust import RobustAggregation, RoundReport

INF = np.float32(np.inf)
START = np.array([1.0, -1.0], dtype=np.float32)


@pytest.fixture
def grid() -> Iterator[Grid]:
    """Four participants; the tests write their replies."""
    with InProcessGrid(ClientApp(), 4) as opened:
        yield opened


def averaging(**options: Any) -> RobustAggregation:
    """Federated averaging: the mean under the numbers of examples."""
    return RobustAggregation(**{"weights": "examples"} | options)


def _ask(strategy: RobustAggregation, grid: Grid, number: int = 1) -> list[Message]:
    arrays = ArrayRecord({"vector": Array(START)})
    return list(strategy.configure_train(number, arrays, ConfigRecord({"episode": 0}), grid))


def _reply(message: Message, update: Any = (0.0, 0.0), **metrics: Any) -> Message:
    """A reply as a client would make it, or nearly."""
    values = {"num-examples": 1, "loss": 0.5} | {k.replace("_", "-"): v for k, v in metrics.items()}
    arrays = {"update": Array(np.array(update, dtype=np.float32))}
    content = RecordDict(
        {
            "arrays": ArrayRecord(arrays),
            "metrics": MetricRecord({k: v for k, v in values.items() if v is not None}),
        }
    )
    return Message(content, reply_to=message)


def _vector(arrays: ArrayRecord | None) -> list[float]:
    assert arrays is not None
    found: list[float] = arrays["vector"].numpy().tolist()
    return found


# --- the mean -----------------------------------------------------------------------------------


def test_updates_are_weighted_by_examples(grid: Grid) -> None:
    """Updates 4 and 0 with 1 and 3 examples add 1; losses 2 and 6 average to 5."""
    strategy = averaging()
    first, second, *_ = _ask(strategy, grid)
    replies = [
        _reply(first, [4.0, 0.0], num_examples=1, loss=2.0),
        _reply(second, [0.0, 0.0], num_examples=3, loss=6.0),
    ]
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert _vector(arrays) == [2.0, -1.0]
    assert metrics is not None
    assert dict(metrics) == {"loss": 5.0, "update-norm": 1.0}
    assert strategy.last_round is not None
    assert (strategy.last_round.n_replies, strategy.last_round.loss) == (2, 5.0)


def test_one_participant_is_followed(grid: Grid) -> None:
    strategy = averaging()
    arrays, _ = strategy.aggregate_train(1, [_reply(_ask(strategy, grid)[0], [0.1, 0.7])])
    assert _vector(arrays) == (START + np.float32([0.1, 0.7])).tolist()


def test_equal_updates_are_followed_whatever_their_weights(grid: Grid) -> None:
    strategy = averaging()
    messages = _ask(strategy, grid)
    replies = [_reply(m, [0.5, 0.25], num_examples=k + 1) for k, m in enumerate(messages)]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [1.5, -0.75]


def test_the_order_of_replies_does_not_matter(grid: Grid) -> None:
    """Bit for bit: a run with workers equals one without."""
    rng = np.random.default_rng(0)
    strategy = averaging()
    replies = [_reply(m, rng.normal(size=2), num_examples=7) for m in _ask(strategy, grid)]
    found = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        _ask(strategy, grid)
        found.append(_vector(strategy.aggregate_train(1, [replies[k] for k in order])[0]))
    assert found[0] == found[1]


def test_server_learning_rate_scales_the_step(grid: Grid) -> None:
    strategy = averaging(server_optimiser=fed_avg(learning_rate=0.5))
    arrays, _ = strategy.aggregate_train(1, [_reply(_ask(strategy, grid)[0], [1.0, 1.0])])
    assert _vector(arrays) == [1.5, -0.5]


def test_another_rule_can_be_named(grid: Grid) -> None:
    strategy = averaging(rule={"_target_": f"{__name__}.largest"})
    replies = [_reply(m, [k, -k]) for k, m in enumerate(_ask(strategy, grid))]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [4.0, -1.0]


def largest(updates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return updates.max(axis=0)


# --- lies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 9.0), (6.0, 24.0)])
def test_the_weight_of_one_is_bounded(grid: Grid, ratio: float, expected: float) -> None:
    """Of examples 10, 10, 10 and 2^52 the median is 10: the liar weighs a quarter, or 6 of 9."""
    strategy = averaging(max_weight_ratio=ratio)
    first, *others = _ask(strategy, grid)
    replies = [_reply(m, [0.0, 0.0], num_examples=10, loss=0.0) for m in others]
    replies.append(_reply(first, [36.0, 0.0], num_examples=2**52))
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert _vector(arrays) == pytest.approx([1.0 + expected, -1.0])
    assert metrics is not None
    assert metrics["loss"] == pytest.approx(0.5 * ratio / (ratio + 3.0))


def test_of_two_the_one_with_more_examples_cannot_raise_the_bound(grid: Grid) -> None:
    strategy = averaging(max_weight_ratio=3.0)
    first, second, *_ = _ask(strategy, grid)
    replies = [_reply(first, [4.0, 0.0], num_examples=2**52), _reply(second, num_examples=1)]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [4.0, -1.0]


def test_an_incumbent_keeps_its_weight_by_default(grid: Grid) -> None:
    """25 times the examples of each newcomer: 25 of 28."""
    strategy = averaging()
    first, *others = _ask(strategy, grid)
    replies = [_reply(first, [28.0, 0.0], num_examples=2500)]
    replies += [_reply(m, [0.0, 0.0], num_examples=100) for m in others]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [26.0, -1.0]


@pytest.mark.parametrize(
    "options",
    [
        {"server_optimiser": fed_avg(learning_rate=1e38)},
        {"rule": lambda updates, weights: updates[0] * INF},
    ],
)
def test_an_aggregate_that_is_not_finite_is_dropped(grid: Grid, options: dict[str, Any]) -> None:
    strategy = averaging(**options)
    replies = [_reply(m, [1e6, 1.0], loss=2.0) for m in _ask(strategy, grid)]
    assert strategy.aggregate_train(1, replies) == (None, None)
    report = RoundReport(4, (), 2.0, 0.0, skipped="the aggregate is not finite")
    assert strategy.last_round == report


# --- rules and liars ----------------------------------------------------------------------------


def test_a_robust_rule_leaves_a_liar_out_and_tells_the_weights(grid: Grid) -> None:
    strategy = RobustAggregation(rule="median", byzantine_share=0.25)
    messages = _ask(strategy, grid)
    updates = [[1.0, 0.0], [2.0, 0.0], [2.0, 0.0], [40.0, 0.0]]
    replies = [_reply(m, update) for m, update in zip(messages, updates, strict=True)]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [3.0, -1.0]
    assert strategy.last_round is not None
    weights = strategy.last_round.weights
    assert list(weights) == [m.metadata.dst_node_id for m in messages]
    assert weights[messages[3].metadata.dst_node_id] < weights[messages[1].metadata.dst_node_id]


def test_a_rule_that_does_not_tell_weights_leaves_them_empty(grid: Grid) -> None:
    strategy = averaging(rule=largest)
    strategy.aggregate_train(1, [_reply(m) for m in _ask(strategy, grid)])
    assert strategy.last_round is not None
    assert strategy.last_round.weights == {}


def test_liars_are_counted_among_those_asked_not_among_those_heard(grid: Grid) -> None:
    """A quarter of four is one liar; three replies still bear it under the median, two do not."""
    strategy = RobustAggregation(rule="median", byzantine_share=0.25)
    for n_heard, is_used in ((3, True), (2, False)):
        replies = [_reply(m, [1.0, 0.0]) for m in _ask(strategy, grid)[:n_heard]]
        aggregate, _ = strategy.aggregate_train(1, replies)
        assert (aggregate is not None) == is_used
    assert strategy.last_round is not None
    assert strategy.last_round.skipped == (
        "2 usable replies of 4 nodes asked, and median needs 3 to withstand 1 liars"
    )
    assert strategy.last_round.n_replies == 2


def test_garbage_does_not_stop_a_round_that_silence_would(grid: Grid) -> None:
    """Two of four are left: the one liar that the median must bear is found or is not."""
    strategy = RobustAggregation(rule="median", byzantine_share=0.25)
    first, second, third, fourth = _ask(strategy, grid)
    good = [_reply(m, [1.0, 0.0]) for m in (first, second)]
    broken = _reply(third, [np.nan, 0.0])
    assert strategy.aggregate_train(1, [*good, broken])[0] is not None
    _ask(strategy, grid)
    failed = [Message(Error(0, "no power"), reply_to=m) for m in (third, fourth)]
    assert strategy.aggregate_train(1, [*good, *failed])[0] is None


def test_those_found_are_not_counted_while_the_rule_bears_all(grid: Grid) -> None:
    """Of three values with one liar the trimmed mean is the middle one."""
    strategy = RobustAggregation(rule="trimmed_mean", byzantine_share=0.25)
    first, *others = _ask(strategy, grid)
    replies = [_reply(m, [k, 0.0]) for m, k in zip(others, (0.0, 1.0, 8.0), strict=True)]
    aggregate, _ = strategy.aggregate_train(1, [_reply(first, [np.inf, 0.0]), *replies])
    assert _vector(aggregate) == [2.0, -1.0]


@pytest.mark.parametrize(
    ("share", "n_asked", "expected"), [(0.29, 100, 29), (0.2, 4, 0), (0.2, 5, 1), (0.1, 30, 3)]
)
def test_a_share_of_liars_is_rounded_down_exactly(
    share: float, n_asked: int, expected: int
) -> None:
    strategy = RobustAggregation(rule="median", byzantine_share=share)
    assert strategy._n_liars(n_asked) == expected


def test_a_number_of_liars_comes_before_their_share(grid: Grid) -> None:
    strategy = RobustAggregation(rule="median", byzantine_share=0.1, n_byzantine=2)
    replies = [_reply(m) for m in _ask(strategy, grid)]
    assert strategy.aggregate_train(1, replies) == (None, None)
    assert strategy.last_round is not None
    assert "needs 5 to withstand 2 liars" in strategy.last_round.skipped


def test_with_fewer_replies_than_wanted_a_round_is_skipped(grid: Grid) -> None:
    strategy = RobustAggregation(least_replies=3)
    messages = _ask(strategy, grid)
    assert strategy.aggregate_train(1, [_reply(m) for m in messages[:2]]) == (None, None)
    assert strategy.aggregate_train(1, [_reply(m) for m in messages[:3]])[0] is not None


@pytest.mark.parametrize(
    "error", [ValueError("odd"), ZeroDivisionError("odd"), np.linalg.LinAlgError("odd")]
)
def test_a_rule_that_fails_on_numbers_costs_a_round_and_not_the_run(
    grid: Grid, error: Exception
) -> None:
    def failing(updates: np.ndarray, weights: np.ndarray) -> np.ndarray:
        raise error

    strategy = averaging(rule=failing)
    assert strategy.aggregate_train(1, [_reply(m) for m in _ask(strategy, grid)]) == (None, None)
    assert strategy.last_round is not None
    assert strategy.last_round.skipped == "failing cannot be applied: odd"


def test_a_loss_that_a_liar_made_up_does_not_drown_the_others(grid: Grid) -> None:
    strategy = RobustAggregation(rule="median", n_byzantine=1)
    losses = [0.2, 0.4, 0.6, -1e12]
    replies = [_reply(m, loss=loss) for m, loss in zip(_ask(strategy, grid), losses, strict=True)]
    strategy.aggregate_train(1, replies)
    assert strategy.last_round is not None
    assert strategy.last_round.loss == pytest.approx(0.3)


def test_what_a_rule_draws_follows_from_seed_episode_and_round(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(seed: int, number: int, episode: int) -> float:
        strategy = RobustAggregation(seed=seed)
        found: list[float] = []

        def spy(updates: np.ndarray, **options: Any) -> Aggregation:
            found.append(options["rng"].random())
            return Aggregation(updates[0], np.ones(len(updates)))

        arrays = ArrayRecord({"vector": Array(START)})
        config = ConfigRecord({"episode": episode})
        messages = list(strategy.configure_train(number, arrays, config, grid))
        monkeypatch.setattr(strategy, "_rule", _Spy(spy))
        strategy.aggregate_train(number, [_reply(m) for m in messages])
        return found[0]

    assert drawn(0, 1, 0) == drawn(0, 1, 0)
    assert len({drawn(0, 1, 0), drawn(1, 1, 0), drawn(0, 2, 0), drawn(0, 1, 1)}) == 4


class _Spy:
    name = "spy"

    def __init__(self, call: Callable[..., Aggregation]) -> None:
        self._call = call

    def least_clients(self, n_byzantine: int) -> int:
        return 1

    def __call__(self, updates: np.ndarray, **options: Any) -> Aggregation:
        return self._call(updates, **options)


def test_combining_leaves_no_trace(grid: Grid) -> None:
    """Asked twice, centred clipping answers alike, and the round is not influenced."""
    strategy = RobustAggregation(rule="centered_clipping", n_byzantine=1)
    updates = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    outcomes = []
    for is_asked_before in (False, True):
        strategy.restore({})
        for number in (1, 2):
            messages = _ask(strategy, grid, number)
            if is_asked_before:
                first, second = (strategy.combine(updates).update for _ in range(2))
                assert first.tobytes() == second.tobytes()
            replies = [_reply(m, u) for m, u in zip(messages, updates, strict=True)]
            aggregate, _ = strategy.aggregate_train(number, replies)
        outcomes.append(_vector(aggregate))
    assert outcomes[0] == outcomes[1]


# --- server optimisers --------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["mean", "median", "nnm+krum", "centered_clipping"])
@pytest.mark.parametrize("optimiser", [fed_avg_m, fed_adam, fed_yogi])
def test_any_optimiser_goes_with_any_rule(
    grid: Grid, rule: str, optimiser: Callable[..., ServerOptimiser]
) -> None:
    """The step is that of the optimiser on what the rule alone gives, in both rounds."""
    stepping = RobustAggregation(rule=rule, server_optimiser=optimiser(learning_rate=0.3))
    plain = RobustAggregation(rule=rule)
    state = optimiser().init(2)
    rng = np.random.default_rng(4)
    for number in (1, 2):
        updates = rng.normal(size=(4, 2)).astype(np.float32)
        steps = []
        for strategy in (plain, stepping):
            messages = _ask(strategy, grid, number)
            replies = [_reply(m, u) for m, u in zip(messages, updates, strict=True)]
            steps.append(np.array(_vector(strategy.aggregate_train(number, replies)[0])) - START)
        expected, state = optimiser(learning_rate=0.3).apply(steps[0], state)
        assert steps[1] == pytest.approx(expected, abs=1e-5)


def test_a_skipped_round_leaves_all_memory_as_it_was(grid: Grid) -> None:
    strategy = RobustAggregation(
        rule="centered_clipping", n_byzantine=1, server_optimiser=fed_adam()
    )
    strategy.aggregate_train(1, [_reply(m, [1.0, 2.0]) for m in _ask(strategy, grid)])
    before = {name: values.tolist() for name, values in strategy.state_arrays().items()}
    assert set(before) == {"rule/previous", "optimiser/mean", "optimiser/square"}
    strategy.aggregate_train(2, [_reply(m, [5.0, 5.0]) for m in _ask(strategy, grid, 2)[:1]])
    assert strategy.last_round is not None
    assert strategy.last_round.skipped
    after = {name: values.tolist() for name, values in strategy.state_arrays().items()}
    assert after == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_optimiser", "fedtrade.corrections.fed_prox"),
        ("client_correction", "fedtrade.optimisers.fed_adam"),
    ],
)
def test_something_else_than_an_optimiser_or_a_correction_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"strategy.{name} must be a"):
        RobustAggregation(**{name: {"_target_": value}})  # type: ignore[arg-type]


# --- the root of trust --------------------------------------------------------------------------


def test_fltrust_follows_those_who_point_where_the_root_does(grid: Grid) -> None:
    """The liar points the other way; the others are scaled to the root's length of 2."""
    strategy = RobustAggregation(rule="fltrust", byzantine_share=0.25)
    asked_for: list[list[float]] = []

    def root(vector: np.ndarray) -> np.ndarray:
        asked_for.append(vector.tolist())
        return np.array([2.0, 0.0], dtype=np.float32)

    strategy.root_update = root
    messages = _ask(strategy, grid)
    updates = [[8.0, 0.0], [1.0, 0.0], [3.0, 0.0], [-30.0, 0.0]]
    replies = [_reply(m, update) for m, update in zip(messages, updates, strict=True)]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == pytest.approx([3.0, -1.0])
    assert asked_for == [START.tolist()]


def test_fltrust_without_a_root_tells_what_to_set(grid: Grid) -> None:
    strategy = RobustAggregation(rule="fltrust")
    replies = [_reply(m) for m in _ask(strategy, grid)]
    with pytest.raises(ConfigurationError, match=r"root_update, or evaluation\.public_bars"):
        strategy.aggregate_train(1, replies)


# --- senders ------------------------------------------------------------------------------------


def test_a_node_that_was_not_asked_is_refused(grid: Grid) -> None:
    strategy = RobustAggregation(fraction_train=0.5)
    asked = _ask(strategy, grid)
    nodes = {m.metadata.dst_node_id for m in asked}
    (stranger, *_) = set(grid.get_node_ids()) - nodes
    replies = [_reply(m, [1.0, 0.0]) for m in asked]
    odd = _reply(asked[0], [7.0, 7.0])
    odd.metadata.__dict__["_src_node_id"] = stranger
    assert _vector(strategy.aggregate_train(1, [odd, *replies])[0]) == [2.0, -1.0]
    assert strategy.last_round is not None
    assert strategy.last_round.refusals == ((stranger, "the node was not asked in this round"),)


# --- the choice of nodes ------------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_a_fraction_of_the_nodes_trains(grid: Grid, fraction: float, expected: int) -> None:
    messages = _ask(averaging(fraction_train=fraction), grid)
    nodes = [message.metadata.dst_node_id for message in messages]
    assert len(set(nodes)) == len(nodes) == expected
    assert set(nodes) <= set(grid.get_node_ids())


def test_the_choice_follows_from_seed_and_round(grid: Grid) -> None:
    def chosen(seed: int, number: int) -> list[int]:
        strategy = averaging(fraction_train=0.5, seed=seed)
        return [m.metadata.dst_node_id for m in _ask(strategy, grid, number)]

    assert chosen(0, 1) == chosen(0, 1)
    assert len({tuple(chosen(0, number)) for number in range(20)}) > 2
    assert len({tuple(chosen(seed, 1)) for seed in range(20)}) > 2


def test_members_alone_are_asked_if_they_are_known(grid: Grid) -> None:
    """A node that is no member is not asked, nor a member that is not connected."""
    strategy = averaging()
    first, second, *_ = nodes = sorted(grid.get_node_ids())
    strategy.nodes = (second, first, max(nodes) + 1)
    assert [m.metadata.dst_node_id for m in _ask(strategy, grid)] == [first, second]
    strategy.nodes = None
    assert [m.metadata.dst_node_id for m in _ask(strategy, grid)] == nodes


def test_messages_live_as_long_as_replies_are_waited_for(grid: Grid) -> None:
    strategy = averaging()
    default = _ask(strategy, grid)[0].metadata.ttl
    strategy.reply_timeout_s = 7.0
    assert {m.metadata.ttl for m in _ask(strategy, grid)} == {7.0}
    assert default > 7.0


# --- bad replies --------------------------------------------------------------------------------


def _with_records(message: Message, records: dict[str, Any]) -> Message:
    return Message(RecordDict(records), reply_to=message)


def _double(message: Message) -> Message:
    reply = _reply(message)
    values = Array(np.array([0.0, 1e300]))
    reply.content["arrays"] = ArrayRecord({"update": values})
    return reply


def _with_arrays(message: Message, arrays: dict[str, Array]) -> Message:
    return _with_records(message, {**_reply(message).content, "arrays": ArrayRecord(arrays)})


def _swapped(message: Message) -> Message:
    return _with_arrays(message, {"update": Array(START.astype(">f4"))})


def _archive(message: Message) -> Message:
    buffer = BytesIO()
    np.savez(buffer, update=START)
    values = Array("float32", (2,), "numpy.ndarray", buffer.getvalue())
    return _with_arrays(message, {"update": values})


def _long(message: Message) -> Message:
    return _with_arrays(message, {"update": Array(np.zeros(1_000_000, dtype=np.float32))})


def _of_round(message: Message, group_id: str) -> Message:
    reply = _reply(message)
    reply.metadata.group_id = group_id
    return reply


def _undecodable(message: Message) -> Message:
    reply = _reply(message)
    reply.content["arrays"]["update"] = Array("float32", (2,), "numpy.ndarray", b"nonsense")
    return reply


def _integers(message: Message) -> Message:
    reply = _reply(message)
    reply.content["arrays"] = ArrayRecord({"update": Array(np.array([1, 2]))})
    return reply


BAD: dict[str, tuple[Callable[[Message], Message], str]] = {
    "error": (lambda m: Message(Error(0, "out of power"), reply_to=m), "^out of power$"),
    "error without reason": (lambda m: Message(Error(7), reply_to=m), "7"),
    "nothing": (lambda m: _with_records(m, {}), "no record 'arrays'"),
    "no update": (
        lambda m: _with_arrays(m, {"x": Array(START)}),
        "no array 'update'",
    ),
    "no metrics": (
        lambda m: _with_records(m, {"arrays": ArrayRecord({"update": Array(START)})}),
        "no record 'metrics'",
    ),
    "NaN": (lambda m: _reply(m, [np.nan, 0.0]), "not finite"),
    "infinite": (lambda m: _reply(m, [0.0, np.inf]), "not finite"),
    "another array": (
        lambda m: _with_arrays(m, {"update": Array(START), "x": Array(START)}),
        "nobody asked for the array 'x'",
    ),
    "another record": (
        lambda m: _with_records(m, {**_reply(m).content, "x": MetricRecord()}),
        "nobody asked for the record 'x'",
    ),
    "another metric": (lambda m: _reply(m, x=1), "nobody asked for the metric 'x'"),
    "something in the config": (
        lambda m: _with_records(m, {**_reply(m).content, "config": ConfigRecord({"x": 1})}),
        "'config' must be empty",
    ),
    "metrics for a config": (
        lambda m: _with_records(m, {**_reply(m).content, "config": MetricRecord()}),
        "'config' must be empty",
    ),
    "metrics for arrays": (
        lambda m: _with_records(m, {**_reply(m).content, "arrays": MetricRecord()}),
        "'arrays' is of type MetricRecord",
    ),
    "arrays for metrics": (
        lambda m: _with_records(m, {**_reply(m).content, "metrics": ArrayRecord()}),
        "'metrics' is of type ArrayRecord",
    ),
    "double precision": (_double, r"must be float32 of shape \(2,\), got float64"),
    "swapped bytes": (_swapped, r"must be float32 of shape \(2,\), got >f4"),
    "an archive": (_archive, "cannot be decoded: the bytes are of type NpzFile"),
    "megabytes": (_long, r"must be float32 of shape \(2,\), got 4000128 bytes"),
    "another round": (lambda m: _of_round(m, "0/0"), "to round '0/0', and this is '0/1'"),
    "no round": (lambda m: _of_round(m, ""), "to round '', and this is '0/1'"),
    "an odd one out": (lambda m: _reply(m, [3e2, 0.0]), "norm of 300 is out of proportion"),
    "absurd": (lambda m: _reply(m, [0.0, -1.1e6]), r"absurd: .* by 1.1e\+06, and 1e\+06 is the"),
    "absurd loss": (lambda m: _reply(m, loss=-1e300), "the loss is absurd: -1e"),
    "too long": (lambda m: _reply(m, [0.0, 0.0, 0.0]), r"float32 of shape \(3,\)"),
    "a matrix": (lambda m: _reply(m, [[0.0], [0.0]]), r"float32 of shape \(2, 1\)"),
    "whole numbers": (_integers, "int64"),
    "undecodable": (_undecodable, "an array cannot be decoded"),
    "negative examples": (lambda m: _reply(m, num_examples=-5), "num-examples .* got -5"),
    "half an example": (lambda m: _reply(m, num_examples=2.5), "num-examples .* got 2.5"),
    "endless examples": (lambda m: _reply(m, num_examples=2**62), "num-examples"),
    "list of examples": (lambda m: _reply(m, num_examples=[1, 2]), "num-examples"),
    "NaN loss": (lambda m: _reply(m, loss=float("nan")), "loss must be a finite number, got nan"),
    "no loss": (lambda m: _reply(m, loss=None), "no metric 'loss'"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("position", [0, 3])
def test_a_bad_reply_costs_its_sender_only(grid: Grid, name: str, position: int) -> None:
    make, reason = BAD[name]
    strategy = averaging()
    messages = _ask(strategy, grid)
    bad = messages[position].metadata.dst_node_id
    replies = [_reply(m, [1.0, 2.0], num_examples=3) for m in messages]
    replies[position] = make(messages[position])
    arrays, _ = strategy.aggregate_train(1, replies)
    assert _vector(arrays) == [2.0, 1.0]
    report = strategy.last_round
    assert report is not None
    assert report.n_replies == 3
    ((node, found),) = report.refusals
    assert node == bad
    assert re.search(reason, found), found


def test_a_second_reply_of_a_node_does_not_count(grid: Grid) -> None:
    strategy = averaging()
    first, second, third, fourth = _ask(strategy, grid)
    replies = [_reply(m, [1.0, 1.0]) for m in (first, second, third, fourth)]
    again = _reply(first, [100.0, 100.0])
    arrays, _ = strategy.aggregate_train(1, [*replies, again])
    assert _vector(arrays) == [2.0, 0.0]
    assert strategy.last_round is not None
    assert strategy.last_round.refusals == (
        (first.metadata.dst_node_id, "the node answered more than once"),
    )


def test_a_node_that_is_silent_is_named(grid: Grid) -> None:
    strategy = averaging()
    first, *others = _ask(strategy, grid)
    strategy.aggregate_train(1, [_reply(m, [1.0, 1.0]) for m in others])
    assert strategy.last_round is not None
    assert strategy.last_round.refusals == ((first.metadata.dst_node_id, "no reply in time"),)


@pytest.mark.parametrize("kind", ["silence", "bad", "no examples"])
def test_without_a_usable_reply_the_model_is_kept(grid: Grid, kind: str) -> None:
    strategy = averaging()
    messages = _ask(strategy, grid)
    replies = {
        "silence": [],
        "bad": [_reply(m, [np.nan, 0.0]) for m in messages],
        "no examples": [_reply(m, [9.0, 9.0], num_examples=0) for m in messages],
    }[kind]
    assert strategy.aggregate_train(1, replies) == (None, None)
    report = strategy.last_round
    assert report is not None
    assert (report.n_replies, report.update_norm) == (0, 0.0)
    assert np.isnan(report.loss)
    later = _reply(_ask(strategy, grid, 2)[0], [1.0, 1.0])
    assert _vector(strategy.aggregate_train(2, [later])[0]) == [2.0, 0.0]


def test_a_participant_without_examples_has_no_weight(grid: Grid) -> None:
    strategy = averaging()
    messages = _ask(strategy, grid)
    replies = [_reply(messages[0], [1.0, 1.0]), _reply(messages[1], [9.0, 9.0], num_examples=0)]
    assert _vector(strategy.aggregate_train(1, replies)[0]) == [2.0, 0.0]


def test_flower_can_start_it_without_members() -> None:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _reply(message, [1.0, 0.5])

    with InProcessGrid(app, 4) as grid:
        arrays = ArrayRecord({"vector": Array(START)})
        result = averaging().start(grid, arrays, num_rounds=2)
    assert _vector(result.arrays) == [3.0, 0.0]


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction_train": 0.0}, r"fraction_train must be in \(0, 1\], got 0.0"),
        ({"fraction_train": 1.1}, r"fraction_train must be in \(0, 1\], got 1.1"),
        ({"max_weight_ratio": 0.5}, "max_weight_ratio must be at least 1, got 0.5"),
        ({"max_norm_ratio": 0.5}, "max_norm_ratio must be at least 1, got 0.5"),
        ({"byzantine_share": 0.5}, r"byzantine_share must be in \[0, 0.5\), got 0.5"),
        ({"byzantine_share": "much"}, r"byzantine_share must be in \[0, 0.5\), got 'much'"),
        ({"n_byzantine": -1}, "n_byzantine must be a whole number from 0, got -1"),
        ({"n_byzantine": 1.5}, "n_byzantine must be a whole number from 0, got 1.5"),
        ({"n_byzantine": "two"}, "n_byzantine must be a whole number from 0, got 'two'"),
        ({"max_norm_ratio": None}, "max_norm_ratio must be at least 1, got None"),
        ({"least_replies": 0}, "least_replies must be a whole number from 1, got 0"),
        ({"weights": "loud"}, "weights must be 'equal' or 'examples', got 'loud'"),
        ({"seed": -1}, "seed must be a whole number from 0, got -1"),
        ({"rule": "magic"}, "magic"),
        ({"rule": {"sketch": 3}}, "rule needs a name or a _target_, got {'sketch': 3}"),
        (
            {"rule": "monna", "weights": "equal"},
            "rule='monna' needs the anchor 'own', which a server has not",
        ),
        ({"rule": "krum"}, "weights='examples' is not for rule='krum': use 'equal'"),
        ({"rule": "mean", "byzantine_share": 0.1}, "mean is no defence"),
        ({"rule": "mean", "n_byzantine": 1}, "mean is no defence"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        averaging(**options)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"strategy.rule._target_=fedtrade.robust.magic"):
        averaging(rule={"_target_": "fedtrade.robust.magic"})


def test_aggregating_before_asking_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="before configure_train"):
        averaging().aggregate_train(1, [])


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("<class 'fedtrade.errors.DataError'>:<'no price'>", "no price"),
        ("<class 'ValueError'>:<'bad\nvalue'>", "ValueError: bad\nvalue"),
        ("<class 'a.b.Odd'>:<''>", "Odd: "),
        ("the message expired", "the message expired"),
    ],
)
def test_reasons_are_made_plain(written: str, plain: str) -> None:
    assert plain_reason(written) == plain


def test_a_stranger_s_words_are_one_short_line_without_control_characters(grid: Grid) -> None:
    """An error is the sender's text: it may neither fill the log nor write lines of its own."""
    strategy = averaging()
    text = "\x1b[2Jgone\nround 1: node 7: all is well" + "x" * 1_000_000
    strategy.aggregate_train(1, [Message(Error(0, text), reply_to=m) for m in _ask(strategy, grid)])
    assert strategy.last_round is not None
    reason = strategy.last_round.refusals[0].reason
    assert reason.startswith(" [2Jgone round 1: node 7")
    assert reason.isprintable()
    assert len(reason) <= LONGEST_REASON + 3
