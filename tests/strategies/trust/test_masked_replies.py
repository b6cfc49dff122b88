"""Replies to the stages of masked sums that are none: each costs its sender, and nobody else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fedtrade.secure.masked.shamir import SHARE_BYTES
from fedtrade.secure.wire import REFUSED, ROUND
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from tests.strategies.trust.federation import Federation

Make = Callable[..., Settings]
Fields = dict[str, Any]
Mutation = Callable[[Message, "Draw"], Message]

N = 9
LIAR = 4
OTHERS = set(range(N)) - {LIAR}


class Draw:
    """Numbers of a mutation, from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one_of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def place(self, size: int) -> int:
        return int(self.rng.integers(size))

    def bytes(self, size: int) -> bytes:
        return self.rng.bytes(size)


@pytest.fixture(scope="module")
def settings(nine: Make) -> Settings:
    return nine("aggregation=masked", "strategy.weights=equal")


@pytest.fixture
def grid(settings: Settings) -> Iterator[Grid]:
    run_config = {"settings": settings.to_json()}
    with InProcessGrid("clients.client_app:app", N, run_config=run_config) as opened:
        yield opened


@pytest.fixture
def plain(nine: Make) -> Iterator[Federation]:
    """The same participants, whose updates the server sees."""
    settings = nine("strategy.weights=equal")
    run_config = {"settings": settings.to_json()}
    with InProcessGrid("clients.client_app:app", N, run_config=run_config) as grid:
        yield Federation(grid, settings).prepare()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies.robust.log", lambda *args, **_: args[1] % args[2:])


# --- what becomes of one stage's record ---------------------------------------------------------

STAGES = ("pledge", "open", "share", "check", "unmask")


def _record(reply: Message, stage: str) -> ConfigRecord:
    return reply.content.config_records[f"secure.{stage}"]


def _bytes_of(record: ConfigRecord, draw: Draw) -> str:
    return str(draw.one_of(*(name for name, value in record.items() if isinstance(value, bytes))))


def no_record(reply: Message, stage: str, draw: Draw) -> None:
    del reply.content[f"secure.{stage}"]


def record_of_another_type(reply: Message, stage: str, draw: Draw) -> None:
    other = draw.one_of(MetricRecord({"session": 1}), ArrayRecord())
    reply.content[f"secure.{stage}"] = other


def empty(reply: Message, stage: str, draw: Draw) -> None:
    _record(reply, stage).clear()


def truncated(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    name = _bytes_of(record, draw)
    record[name] = record[name][: draw.place(len(record[name]))]  # type: ignore[index, arg-type]


def huge(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    record[_bytes_of(record, draw)] = bytes(1 << 20)


def no_entry(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    del record[_bytes_of(record, draw)]


def one_more_entry(reply: Message, stage: str, draw: Draw) -> None:
    _record(reply, stage)[draw.one_of("", "x", "refuse", "ü" * 300)] = draw.one_of(1, b"", "a")


def another_type(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    record[_bytes_of(record, draw)] = draw.one_of(1, 2.0, "text", [1, 2], [b"a"], [])


def another_session(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    wrong: list[Any] = [-1, 0, 10**9, "2", 1.5, [2], b"2"]
    record["session"] = draw.one_of(*wrong)


def refused_with(reply: Message, stage: str, draw: Draw) -> None:
    said: Any = draw.one_of("no", "\x1b[31m\n" * 99, b"\xff" * 3000, 7, ["a"])
    reply.content[f"secure.{stage}"] = ConfigRecord(
        {"session": _record(reply, stage)["session"], "refused": said}
    )


RECORDS = [
    no_record,
    record_of_another_type,
    empty,
    truncated,
    huge,
    no_entry,
    one_more_entry,
    another_type,
    another_session,
    refused_with,
]


def other_bytes(reply: Message, stage: str, draw: Draw) -> None:
    """Of the right size: a wrong signature, key, share or ciphertext."""
    record = _record(reply, stage)
    name = _bytes_of(record, draw)
    record[name] = draw.bytes(len(record[name]))  # type: ignore[arg-type]


def a_flipped_bit(reply: Message, stage: str, draw: Draw) -> None:
    record = _record(reply, stage)
    name = _bytes_of(record, draw)
    found = bytearray(record[name])  # type: ignore[arg-type]
    found[draw.place(len(found))] ^= 1 << draw.place(8)
    record[name] = bytes(found)


# --- what becomes of an upload ------------------------------------------------------------------


def _words(reply: Message) -> np.ndarray:
    return reply.content["arrays"]["words"].numpy()


def _with_arrays(reply: Message, arrays: Mapping[str, Any]) -> None:
    reply.content["arrays"] = ArrayRecord({k: Array(v) for k, v in arrays.items()})


def words_of_another_kind(reply: Message, stage: str, draw: Draw) -> None:
    name = draw.one_of("f8", "u1", "u2", "i4", "u8", ">u4", "i8", "?", "c8", "U3")
    _with_arrays(reply, {"words": _words(reply).astype(name)})


def words_of_another_shape(reply: Message, stage: str, draw: Draw) -> None:
    words = _words(reply)
    shapes = words[:-1], words[:0], np.append(words, words[:1]), words[None], words[:, None]
    _with_arrays(reply, {"words": draw.one_of(*shapes, np.zeros((), np.uint32))})


def other_arrays(reply: Message, stage: str, draw: Draw) -> None:
    words = _words(reply)
    arrays = draw.one_of({}, {"update": words}, {"words": words, "x": words}, {"Words": words})
    _with_arrays(reply, arrays)


def broken_arrays(reply: Message, stage: str, draw: Draw) -> None:
    array = Array(_words(reply))
    data = draw.one_of(b"", array.data[:50], array.data[:-1], b"\0" * 200)
    reply.content["arrays"] = ArrayRecord(
        {"words": Array(array.dtype, array.shape, array.stype, data)}
    )


def no_arrays(reply: Message, stage: str, draw: Draw) -> None:
    draw.one_of(
        lambda: reply.content.pop("arrays"),
        lambda: reply.content.update({"arrays": MetricRecord()}),
    )()


def another_claimed_shape(reply: Message, stage: str, draw: Draw) -> None:
    wrong: list[Any] = [[], [0], [-3], [5], [1 << 40], [2] * 9, "17", 17, [1.0], [True], b"1"]
    _record(reply, "round")["shape"] = draw.one_of(*wrong)


def another_sum(reply: Message, stage: str, draw: Draw) -> None:
    wrong: list[Any] = [-1, 0, 10**9, "2", 1.5, [2], b"2"]
    _record(reply, "round")["session"] = draw.one_of(*wrong)


def another_group(reply: Message, stage: str, draw: Draw) -> None:
    reply.metadata.group_id = draw.one_of("", "0/0", "sum", "x" * 10_000)


def no_round(reply: Message, stage: str, draw: Draw) -> None:
    del reply.content["secure.round"]


UPLOADS = [
    words_of_another_kind,
    words_of_another_shape,
    other_arrays,
    broken_arrays,
    no_arrays,
    another_claimed_shape,
    another_sum,
    another_group,
    no_round,
]


@pytest.mark.parametrize(
    "stage",
    [
        *("upload", "unmask"),
        *(
            pytest.param(stage, marks=pytest.mark.slow)
            for stage in ("pledge", "open", "share", "check")
        ),
    ],
)
def test_a_bad_reply_is_named_and_costs_nobody_else(
    grid: Grid, settings: Settings, plain: Federation, stage: str
) -> None:
    """One after the other, until the liar has tried all; in between it is welcomed back."""
    wanted = list(UPLOADS if stage == "upload" else RECORDS)
    played: list[str] = []

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        first = "train" if stage == "upload" else stage
        if number != LIAR or not wanted or federation is None or first not in stages:
            return None

        def lie(reply: Message) -> Message:
            mutation = wanted.pop()
            mutation(reply, stage, Draw(len(wanted)))
            played.append(mutation.__name__)
            return reply

        return lie

    federation: Federation | None = None
    federation = Federation(grid, settings, fate).prepare()
    while wanted:
        before, n_before = federation.vector, len(played)
        report = federation.round()
        refusals = federation.participants(report)
        assert set(refusals) <= {LIAR}, refusals
        assert not report.skipped, report.skipped
        assert federation.heard >= OTHERS
        if len(played) > n_before:
            assert set(refusals) == {LIAR}, played[-1]
            assert stage == "upload" or refusals[LIAR].startswith(f"{stage}: "), refusals
            assert refusals[LIAR].isprintable()
            assert len(refusals[LIAR]) < 600
        plain.vector = before
        plain.round()
        updates = [row.update for row in plain.rows if plain.members_of(row) <= federation.heard]
        np.testing.assert_allclose(
            federation.vector, before + np.mean(updates, axis=0), rtol=1e-5, atol=1e-7
        )
    for _ in range(3):
        federation.round()
    assert federation.heard == {*OTHERS, LIAR}


@pytest.mark.parametrize("refuses", [False, True])
def test_a_second_reply_and_those_of_strangers_change_nothing(
    grid: Grid, settings: Settings, refuses: bool
) -> None:
    """In every exchange; a node that was not asked is named where replies are counted."""

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return double if number == LIAR else None

    def double(reply: Message) -> list[Message]:
        stranger = Message(RecordDict(dict(reply.content)), reply_to=_asked(reply))
        if refuses:
            stranger.content[ROUND] = ConfigRecord({REFUSED: "it cannot"})
        stranger.metadata.__dict__["_src_node_id"] = 12345
        return [reply, reply, stranger]

    def _asked(reply: Message) -> Message:
        return next(
            m
            for messages in reversed(federation.grid.asked)
            for m in messages
            if m.metadata.message_id == reply.metadata.reply_to_message_id
        )

    federation = Federation(grid, settings)
    federation.prepare()
    federation.grid.fate = fate
    for _ in range(3):
        report = federation.round()
        assert not report.skipped
        assert federation.heard == {*OTHERS, LIAR}
        refusals = federation.participants(report)
        assert refusals == {
            LIAR: "the node answered more than once",
            -1: "the node was not asked",
        }


def test_a_dealer_of_garbage_stops_one_sum_and_is_left_out(grid: Grid, settings: Settings) -> None:
    """Its mask cannot be taken off the first sum, and it is in no other."""

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def garbage(reply: Message) -> Message:
            fields = dict(reply.content.config_records["secure.share"])
            fields["ciphertexts"] = bytes(len(fields["ciphertexts"]))  # type: ignore[arg-type]
            reply.content["secure.share"] = ConfigRecord(fields)
            return reply

        return garbage if number == LIAR and "share" in stages else None

    federation = Federation(grid, settings).prepare()
    federation.grid.fate = fate
    reports = [federation.round() for _ in range(5)]
    skipped = [bool(report.skipped) for report in reports]
    assert skipped == [False, True, False, False, False]
    assert LIAR in federation.participants(reports[1])
    assert all(report.n_replies == 8 for report in reports[2:])
    assert "left out for the rest of the run" in reports[-1].refusals[0].reason


def test_a_liar_with_dropouts_is_left_out_and_no_honest_member(
    grid: Grid, settings: Settings
) -> None:
    """As few shares come back as are needed, and its own are wrong, sum after sum."""
    federation = Federation(grid, settings).prepare()
    (graph,) = federation.mode.sums._server.parameters(2)  # type: ignore[attr-defined]
    silent = set(range(N - graph.most_dropouts, N))
    assert LIAR not in silent

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def lie(reply: Message) -> Message:
            fields = dict(reply.content.config_records["secure.unmask"])
            shares = bytearray(fields["shares"])  # type: ignore[arg-type]
            for at in range(0, len(shares), SHARE_BYTES):
                shares[at] ^= 1
            fields["shares"] = bytes(shares)
            reply.content["secure.unmask"] = ConfigRecord(fields)
            return reply

        if "unmask" not in stages:
            return None
        if stages["unmask"] == 2 and number in silent:
            return "silent"
        return lie if number == LIAR else None

    federation.grid.fate = fate
    reports = [federation.round() for _ in range(4)]
    assert reports[0].skipped
    assert f"wrong ones came from member {LIAR}" in reports[0].skipped
    later = [report for report in reports[1:] if not report.skipped]
    assert later
    assert federation.heard == OTHERS
    left_out = {
        number
        for report in reports
        for number, reason in federation.participants(report).items()
        if "left out for the rest of the run" in reason
    }
    assert left_out == {LIAR}


def test_words_that_nobody_honest_sends_skip_the_round(grid: Grid, settings: Settings) -> None:
    """Nobody can say who it was: masks hide the liar, too. The model is kept."""

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def lie(reply: Message) -> Message:
            _with_arrays(reply, {"words": _words(reply) + np.uint32(1 << 30)})
            return reply

        return lie if number == LIAR and "train" in stages else None

    federation = Federation(grid, settings).prepare()
    federation.grid.fate = fate
    before = federation.vector
    report = federation.round()
    assert "somebody sent what no honest member sends" in report.skipped
    assert federation.vector is before
    assert report.refusals == ()
    federation.grid.fate = lambda number, stages: None
    assert federation.round().skipped == ""


def test_a_liar_cannot_stop_a_round_by_spoiling_its_own_group(nine: Make) -> None:
    """Two groups of three are left, too few for one more liar; but the liar was in the third."""
    options = ("aggregation.group_size=3", "strategy=robust", "strategy.rule=median")
    settings = nine("aggregation=masked", *options, "strategy.byzantine_share=0.1")

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def lie(reply: Message) -> Message:
            _with_arrays(reply, {"words": _words(reply) + (1 << 30)})
            return reply

        return lie if number == LIAR and "train" in stages else None

    run_config = {"settings": settings.to_json()}
    with InProcessGrid("clients.client_app:app", N, run_config=run_config) as grid:
        federation = Federation(grid, settings).prepare()
        federation.grid.fate = fate
        before = federation.vector
        report = federation.round()
        refusals = federation.participants(report)
    assert report.skipped == ""
    assert len(federation.rows) == 2
    assert set(refusals) == set(range(N)) - federation.heard
    assert LIAR in refusals
    assert all("somebody sent what no honest member sends" in said for said in refusals.values())
    step = np.median([row.update for row in federation.rows], axis=0)
    np.testing.assert_allclose(federation.vector, before + step, rtol=1e-6)


# --- the fuzzer ---------------------------------------------------------------------------------

ANY = [*RECORDS, other_bytes, a_flipped_bit]


def _mutate(reply: Message, draw: Draw) -> Any:
    """One or several mutations of whatever is in the reply."""
    for _ in range(1 + draw.place(2)):
        found = [s for s in STAGES if f"secure.{s}" in reply.content.config_records]
        is_upload = "secure.round" in reply.content and "words" in reply.content.get("arrays", {})
        if is_upload and draw.place(3) == 0:
            draw.one_of(*UPLOADS)(reply, "upload", draw)
        elif found:
            stage = draw.one_of(*found)
            if any(isinstance(value, bytes) for value in _record(reply, stage).values()):
                draw.one_of(*ANY)(reply, stage, draw)
    return draw.one_of(reply, reply, reply, [reply, reply], [])


def _fuzz(grid: Grid, settings: Settings, n_rounds: int) -> int:
    """Rounds with two liars whose replies are mutated; returns how many were."""
    federation = Federation(grid, settings).prepare()
    liars, n_mutated = {2, LIAR}, 0
    honest = set(range(N)) - liars

    @examples(
        max_examples=n_rounds,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32 - 1))
    def play(seed: int) -> None:
        draw = Draw(seed)

        def fate(number: int, stages: Mapping[str, int]) -> Any:
            if number not in liars or draw.place(2) == 0:
                return None  # or else it would never be part of a sum
            return draw.one_of(*[mutate] * 9, "silent", "lost", "error", "late")

        def mutate(reply: Message) -> Any:
            nonlocal n_mutated
            n_mutated += 1
            return _mutate(reply, draw)

        federation.grid.fate = fate
        before = federation.vector
        report = federation.round()
        named = set(federation.participants(report))
        assert named <= liars, report.refusals
        assert (federation.vector is before) == bool(report.skipped)
        # Two liars are more than the tenth of all that may fail: shares can be missing.
        if not report.skipped:
            assert federation.heard >= honest
            assert np.abs(federation.vector - before).max() < 1.0
        federation.vector = federation.task.initial(0)

    play()
    federation.grid.fate = lambda number, stages: None
    for _ in range(3):
        federation.round()
    report = federation.round()
    assert not report.skipped, report.skipped
    assert report.refusals == ()
    assert federation.heard == set(range(N))
    return n_mutated


def test_mutated_replies_to_stages_hurt_nobody(grid: Grid, settings: Settings) -> None:
    assert _fuzz(grid, settings, 10) >= 10


@pytest.mark.slow
def test_hundreds_of_mutated_replies_to_stages_hurt_nobody(grid: Grid, settings: Settings) -> None:
    assert _fuzz(grid, settings, 300) >= 300


def test_an_error_of_any_form_is_a_refusal(grid: Grid, settings: Settings) -> None:
    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def fail(reply: Message) -> Message:
            failed = Message(Error(0, "\0%s\n"), reply_to=_of(reply))
            failed.metadata.__dict__.update(reply.metadata.__dict__)
            return failed

        return fail if number == LIAR and "check" in stages else None

    def _of(reply: Message) -> Message:
        return next(m for m in federation.grid.asked[-1] if m.has_content())

    federation = Federation(grid, settings).prepare()
    federation.grid.fate = fate
    report = federation.round()
    assert federation.participants(report) == {LIAR: "check:  %s "}
