"""Thousands of mutated replies: no round is aborted, no model breaks, honest replies still count.

Every mutation starts from a valid reply. Those of `INVALID` must be refused and their sender named;
those of `ODD` are lies that no single reply gives away, which a rule may use or not.
"""

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fedtrade.corrections import scaffold
from fedtrade.optimisers import fed_adam, fed_avg_m, fed_yogi
from simulations.grid import InProcessGrid
from strategies.robust import RobustAggregation

N_NODES = 10
N_PARAMS = 5
N_LIARS = 2
N_MUTATED = 6  # of each liar in each round
N_ROUNDS = 2
START = np.linspace(-1.0, 1.0, N_PARAMS).astype(np.float32)

Parts = dict[str, Any]
Mutation = Callable[[Parts, "Draw"], Message]


class Draw:
    """Numbers of a mutation, from one seed that Hypothesis chose."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one_of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def place(self, size: int) -> int:
        return int(self.rng.integers(size))


# --- valid replies ------------------------------------------------------------------------------


def _records(values: np.ndarray) -> Parts:
    return {
        "arrays": ArrayRecord({"update": Array(values)}),
        "metrics": MetricRecord({"num-examples": 40, "loss": 0.25}),
        "config": ConfigRecord(),
    }


def _honest(message: Message, n_parts: int, rng: np.random.Generator) -> Message:
    common = np.linspace(0.5, 1.0, n_parts * N_PARAMS)
    values = (common + 0.1 * rng.normal(size=len(common))).astype(np.float32)
    return Message(RecordDict(_records(values)), reply_to=message)


def _reply(parts: Parts) -> Message:
    return Message(RecordDict(parts["records"]), reply_to=parts["message"])


def _with_values(parts: Parts, values: np.ndarray) -> Message:
    return _with_array(parts, Array(values))


def _with_array(parts: Parts, array: Array) -> Message:
    parts["records"]["arrays"] = ArrayRecord({"update": array})
    return _reply(parts)


def _with_metrics(parts: Parts, **changes: Any) -> Message:
    values = {"num-examples": 40, "loss": 0.25}
    values |= {name.replace("_", "-"): value for name, value in changes.items()}
    parts["records"]["metrics"] = MetricRecord(
        {name: value for name, value in values.items() if value is not None}
    )
    return _reply(parts)


# --- mutations that must be refused -------------------------------------------------------------


def _drop_record(parts: Parts, draw: Draw) -> Message:
    del parts["records"][draw.one_of("arrays", "metrics")]
    return _reply(parts)


def _add_record(parts: Parts, draw: Draw) -> Message:
    name = draw.one_of("", "x", "Arrays", "arrays ", "ü" * 500)
    parts["records"][name] = draw.one_of(ArrayRecord(), MetricRecord(), ConfigRecord())
    return _reply(parts)


def _rename_record(parts: Parts, draw: Draw) -> Message:
    name = draw.one_of("arrays", "metrics")
    parts["records"][name + draw.one_of("2", " ", "/")] = parts["records"].pop(name)
    return _reply(parts)


def _retype_record(parts: Parts, draw: Draw) -> Message:
    name, record = draw.one_of(
        ("arrays", MetricRecord()),
        ("arrays", ConfigRecord({"update": b"1234"})),
        ("metrics", ConfigRecord({"num-examples": 40, "loss": 0.25})),
        ("metrics", ArrayRecord()),
        ("config", MetricRecord()),
        ("config", ArrayRecord()),
        ("config", ConfigRecord({"note": "x" * 1000})),
    )
    parts["records"][name] = record
    return _reply(parts)


def _swap_records(parts: Parts, draw: Draw) -> Message:
    records = parts["records"]
    records["arrays"], records["metrics"] = records["metrics"], records["arrays"]
    return _reply(parts)


def _no_records(parts: Parts, draw: Draw) -> Message:
    parts["records"] = {}
    return _reply(parts)


def _change_arrays(parts: Parts, draw: Draw) -> Message:
    update = Array(parts["values"])
    arrays = draw.one_of(
        {},
        {"Update": update},
        {"vector": update},
        {"update": update, "x": update},
        {"update": update, "variate": update},
        {str(k): update for k in range(50)},
    )
    parts["records"]["arrays"] = ArrayRecord(arrays)
    return _reply(parts)


def _change_shape(parts: Parts, draw: Draw) -> Message:
    values = parts["values"]
    n = len(values)
    return _with_values(
        parts,
        draw.one_of(
            values[:-1],
            values[:0],
            np.append(values, np.float32(1.0)),
            np.concatenate([values, values, values]),
            values[None],
            values[:, None],
            np.ones((), np.float32),
            np.zeros((0, n), np.float32),
            np.zeros((n, n), np.float32),
            np.zeros(20_000, np.float32),
        ),
    )


def _change_dtype(parts: Parts, draw: Draw) -> Message:
    name = draw.one_of("f8", "f2", "i4", "i8", "u1", "c8", "?", "U3", "S4", "m8[s]", ">f4", "V4")
    values = parts["values"]
    if name in ("m8[s]", "V4", "U3", "S4"):
        return _with_values(parts, np.zeros(len(values), dtype=name))
    return _with_values(parts, values.astype(name))


def _structured(parts: Parts, draw: Draw) -> Message:
    return _with_values(parts, np.zeros(len(parts["values"]), dtype=[("a", "f4"), ("b", "i4")]))


def _not_finite(parts: Parts, draw: Draw) -> Message:
    values = parts["values"].copy()
    values[draw.place(len(values))] = draw.one_of(np.nan, np.inf, -np.inf)
    return _with_values(parts, values)


def _huge(parts: Parts, draw: Draw) -> Message:
    values = parts["values"].copy()
    values[draw.place(len(values))] = draw.one_of(1.1e6, -1.1e6, 3e38, -1e20)
    return _with_values(parts, values)


def _huge_by_norm(parts: Parts, draw: Draw) -> Message:
    return _with_values(parts, parts["values"] * np.float32(draw.one_of(1e3, -1e4, 1e5)))


def _broken_bytes(parts: Parts, draw: Draw) -> Message:
    array = Array(parts["values"])
    data = array.data
    cut = draw.place(len(data))
    flipped = bytearray(data)
    flipped[draw.place(80)] ^= 0xFF  # in the header
    broken = draw.one_of(data[:cut], b"", data[cut:] if cut else b"x", b"\0" * 400, bytes(flipped))
    if broken == data:
        broken = b""
    return _with_array(parts, Array(array.dtype, array.shape, array.stype, broken))


def _lying_header(parts: Parts, draw: Draw) -> Message:
    n = len(parts["values"])
    shape = draw.one_of(
        f"({10**9},)", f"({10**13},)", "(-1,)", "(-2,-1)", f"({n},)*9", "None", "()"
    )
    order, descr = draw.one_of("False", "True", "7"), draw.one_of("<f4", "|O", "zz", "<f4")
    if (shape, descr) == ("()", "<f4"):
        shape = "(0,)"
    header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    padded = header.encode().ljust(117) + b"\n"
    data = (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + parts["values"].tobytes()
    )
    return _with_array(parts, Array("float32", (n,), "numpy.ndarray", data))


def _foreign_bytes(parts: Parts, draw: Draw) -> Message:
    buffer, values = BytesIO(), parts["values"]
    draw.one_of(
        lambda: np.savez(buffer, update=values),
        lambda: np.savez_compressed(buffer, update=values),
        lambda: np.save(buffer, np.array([None, {}], dtype=object), allow_pickle=True),
    )()
    return _with_array(parts, Array("float32", values.shape, "numpy.ndarray", buffer.getvalue()))


def _foreign_type(parts: Parts, draw: Draw) -> Message:
    array = Array(parts["values"])
    kind = draw.one_of("", "torch", "numpy")
    return _with_array(parts, Array(array.dtype, array.shape, kind, array.data))


def _change_metrics(parts: Parts, draw: Draw) -> Message:
    return _with_metrics(
        parts,
        **draw.one_of(
            {"num_examples": None},
            {"loss": None},
            {"num_examples": None, "loss": None},
            {"extra": 1.0},
            {"num_examples": -1},
            {"num_examples": -(2**62)},
            {"num_examples": 2**53},
            {"num_examples": 40.0},
            {"num_examples": float("nan")},
            {"num_examples": [40]},
            {"num_examples": []},
            {"loss": 1},
            {"loss": [0.5]},
            {"loss": float("nan")},
            {"loss": float("inf")},
            {"loss": -1e13},
        ),
    )


def _other_round(parts: Parts, draw: Draw) -> Message:
    reply = _reply(parts)
    reply.metadata.group_id = draw.one_of("", "0/0", "1/1", "0/1 ", "0", "nonsense", "x" * 10_000)
    return reply


def _an_error(parts: Parts, draw: Draw) -> Message:
    reason = draw.one_of(None, "", "x" * 10_000, "<class 'ValueError'>:<'no'>", "\0%s%d")
    return Message(Error(int(draw.one_of(0, 7, 999)), reason), reply_to=parts["message"])


def _neither_content_nor_error(parts: Parts, draw: Draw) -> Message:
    reply = _reply(parts)
    reply.__dict__["_content"] = None
    return reply


INVALID: list[Mutation] = [
    _drop_record,
    _add_record,
    _rename_record,
    _retype_record,
    _swap_records,
    _no_records,
    _change_arrays,
    _change_shape,
    _change_dtype,
    _structured,
    _not_finite,
    _huge,
    _huge_by_norm,
    _broken_bytes,
    _lying_header,
    _foreign_bytes,
    _foreign_type,
    _change_metrics,
    _other_round,
    _an_error,
    _neither_content_nor_error,
]


# --- lies that a single reply does not give away ------------------------------------------------


def _scaled(parts: Parts, draw: Draw) -> Message:
    return _with_values(parts, parts["values"] * np.float32(draw.one_of(-1.0, 0.0, -20.0, 1e-30)))


def _random(parts: Parts, draw: Draw) -> Message:
    return _with_values(parts, draw.rng.normal(size=len(parts["values"])).astype(np.float32))


def _lying_metrics(parts: Parts, draw: Draw) -> Message:
    n_examples, loss = draw.one_of(0, 1, 2**52), draw.one_of(1e12, -1e12, 0.0, 1e-300)
    return _with_metrics(parts, num_examples=n_examples, loss=loss)


def _in_another_order(parts: Parts, draw: Draw) -> Message:
    parts["records"] = dict(reversed(parts["records"].items()))
    parts["records"]["metrics"] = MetricRecord({"loss": 0.25, "num-examples": 40})
    return _reply(parts)


ODD: list[Mutation] = [_scaled, _random, _lying_metrics, _in_another_order]


def _strange_sender(reply: Message, draw: Draw) -> Message:
    reply.metadata.__dict__["_src_node_id"] = int(draw.one_of(0, 1, 3, 2**63 - 1, 2**64 - 1))
    return reply


# --- the fuzzer ---------------------------------------------------------------------------------

STRATEGIES: dict[str, Callable[[], RobustAggregation]] = {
    "mean": lambda: RobustAggregation(weights="examples"),
    "trimmed_mean": lambda: RobustAggregation(rule="trimmed_mean", n_byzantine=N_LIARS),
    "nnm+trimmed_mean": lambda: RobustAggregation(rule="nnm+trimmed_mean", byzantine_share=0.25),
    "multi_krum": lambda: RobustAggregation(rule="multi_krum", n_byzantine=N_LIARS),
    "median and FedYogi": lambda: RobustAggregation(rule="median", server_optimiser=fed_yogi()),
    "geometric_median": lambda: RobustAggregation(rule="geometric_median", n_byzantine=N_LIARS),
    "centered_clipping and FedAvgM": lambda: RobustAggregation(
        rule="centered_clipping", n_byzantine=N_LIARS, server_optimiser=fed_avg_m()
    ),
    "foolsgold and FedAdam": lambda: RobustAggregation(
        rule="foolsgold", server_optimiser=fed_adam()
    ),
    "bucketing(2)+median": lambda: RobustAggregation(rule="bucketing(2)+median", n_byzantine=1),
    "nnm+median and SCAFFOLD": lambda: RobustAggregation(
        rule="nnm+median", n_byzantine=N_LIARS, client_correction=scaffold()
    ),
}


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with InProcessGrid(ClientApp(), N_NODES) as opened:
        yield opened


def _mutated(mutation: Mutation, message: Message, honest: Message, draw: Draw) -> Message:
    values = honest.content["arrays"]["update"].numpy()
    parts = {"message": message, "records": _records(values), "values": values}
    return mutation(parts, draw)


def _fuzz_round(
    strategy: RobustAggregation, grid: Grid, number: int, vector: np.ndarray, seed: int
) -> tuple[np.ndarray, int]:
    """One round with liars; returns the vector after it and how many replies were mutated."""
    draw = Draw(seed)
    config, arrays = ConfigRecord({"episode": 0}), ArrayRecord({"vector": Array(vector)})
    messages = list(strategy.configure_train(number, arrays, config, grid))
    n_parts = strategy.client_correction.n_parts
    honest = [
        _honest(message, n_parts, np.random.default_rng(k)) for k, message in enumerate(messages)
    ]
    liars = draw.rng.choice(N_NODES, size=N_LIARS, replace=False).tolist()
    replies = [reply for k, reply in enumerate(honest) if k not in liars]
    invalid, strange = set(), set()
    n_mutated = 0
    for k in liars:
        only_invalid = bool(draw.place(2))
        for _ in range(N_MUTATED):
            is_invalid = only_invalid or draw.place(5) > 0
            mutation = draw.one_of(*(INVALID if is_invalid else ODD))
            reply = _mutated(mutation, messages[k], honest[k], draw)
            if draw.place(10) == 0:
                reply = _strange_sender(reply, draw)
                strange.add(reply.metadata.src_node_id)
            elif is_invalid:
                invalid.add(reply.metadata.src_node_id)
            replies.append(reply)
            n_mutated += 1
        if draw.place(4) == 0:  # the honest reply too, once or twice
            replies += [honest[k]] * draw.one_of(1, 2)
    order = draw.rng.permutation(len(replies))
    found, _ = strategy.aggregate_train(number, [replies[k] for k in order])
    after = vector if found is None else found["vector"].numpy()
    report = strategy.last_round
    assert report is not None
    refused = {refusal.node_id for refusal in report.refusals}
    trusted = {messages[k].metadata.dst_node_id for k in range(N_NODES) if k not in liars}
    assert not trusted & refused, "an honest reply was refused"
    assert report.n_replies >= len(trusted)
    assert set(report.weights) >= trusted or report.skipped
    assert invalid | strange <= refused, "the sender of an invalid reply is not named"
    assert not report.skipped, report.skipped
    assert all(refusal.reason for refusal in report.refusals)
    assert after.shape == (N_PARAMS,)
    assert after.dtype == np.float32
    assert np.isfinite(after).all()
    assert all(np.isfinite(values).all() for values in strategy.state_arrays().values())
    return after, n_mutated


def _fuzz(grid: Grid, max_examples: int) -> int:
    """Run so many examples and return how many mutated replies were sent."""
    n_sent = 0

    @settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 2**32 - 1))
    def run(name: str, seed: int) -> None:
        nonlocal n_sent
        strategy, vector = STRATEGIES[name](), START
        for number in range(1, N_ROUNDS + 1):
            vector, n_mutated = _fuzz_round(strategy, grid, number, vector, seed + number)
            n_sent += n_mutated

    run()
    return n_sent


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies.robust.log", lambda *args, **_: args[1] % args[2:])


def test_two_thousand_mutated_replies_hurt_nobody(grid: Grid) -> None:
    assert _fuzz(grid, 150) >= 2_000


@pytest.mark.slow
def test_a_hundred_thousand_mutated_replies_hurt_nobody(grid: Grid) -> None:
    assert _fuzz(grid, 4_500) >= 100_000


@pytest.mark.parametrize("mutation", INVALID, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("name", ["trimmed_mean", "nnm+median and SCAFFOLD"])
def test_a_liar_whose_replies_are_all_invalid_is_as_one_that_is_silent(
    grid: Grid, name: str, mutation: Mutation
) -> None:
    """The model is, bit for bit, that of the honest replies alone."""
    found = []
    for is_silent in (True, False):
        strategy = STRATEGIES[name]()
        arrays = ArrayRecord({"vector": Array(START)})
        messages = list(strategy.configure_train(1, arrays, ConfigRecord({"episode": 0}), grid))
        rng, n_parts = np.random.default_rng(5), strategy.client_correction.n_parts
        honest = [_honest(message, n_parts, rng) for message in messages]
        replies = honest[1:]
        for seed in range(0 if is_silent else 12):
            reply = _mutated(mutation, messages[0], honest[0], Draw(seed))
            replies.insert(seed % len(replies), reply)
        aggregate, _ = strategy.aggregate_train(1, replies)
        assert aggregate is not None
        found.append(aggregate["vector"].numpy().tobytes())
        assert strategy.last_round is not None
        (named,) = {refusal.node_id for refusal in strategy.last_round.refusals}
        assert named == messages[0].metadata.dst_node_id
    assert found[0] == found[1]


def test_an_honest_reply_counts_behind_the_mutated_ones_of_its_sender(grid: Grid) -> None:
    """Of a node's replies the first usable one counts, whatever comes before."""
    strategy = RobustAggregation()
    arrays = ArrayRecord({"vector": Array(START)})
    messages = list(strategy.configure_train(1, arrays, ConfigRecord({"episode": 0}), grid))
    rng = np.random.default_rng(0)
    honest = [_honest(message, 1, rng) for message in messages]
    alone = [mutation for mutation in INVALID if mutation is not _huge_by_norm]
    mutated = [_mutated(m, messages[0], honest[0], Draw(k)) for k, m in enumerate(alone)]
    found, _ = strategy.aggregate_train(1, [*mutated, *honest])
    assert found is not None
    assert strategy.last_round is not None
    assert strategy.last_round.n_replies == N_NODES
    assert len(strategy.last_round.refusals) == len(mutated)
