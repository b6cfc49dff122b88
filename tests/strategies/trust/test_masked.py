"""Masked sums over messages: equal to plain ones, and no member's failure costs the others."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedtrade.secure.payload import training_layout
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from tests.strategies.trust.federation import Fate, Federation

Make = Callable[..., Settings]

APP = "clients.client_app:app"
N = 9
ALL = set(range(N))
EQUAL = "strategy.weights=equal"
FIRST_ROUND = 2
"""The sum of the first round: two federated sums of the task come before."""


@contextmanager
def _federation(
    settings: Settings, fate: Fate | None = None, **options: Any
) -> Iterator[Federation]:
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, N, run_config=run_config, **options) as grid:
        yield Federation(grid, settings, fate)


def _masked(make: Make, *overrides: str) -> Settings:
    return make("aggregation=masked", EQUAL, *overrides)


@pytest.fixture
def plain(nine: Make) -> Iterator[Federation]:
    """The same participants, whose updates the server sees."""
    with _federation(nine(EQUAL)) as federation:
        yield federation.prepare()


def _updates(plain: Federation, vector: np.ndarray) -> dict[int, np.ndarray]:
    """Each participant's update of a vector."""
    plain.vector = vector
    plain.round()
    assert plain.heard == ALL
    return {min(plain.members_of(row)): row.update for row in plain.rows}


def _mean(updates: Mapping[int, np.ndarray], numbers: set[int]) -> np.ndarray:
    return np.mean([updates[number] for number in sorted(numbers)], axis=0)


# --- masked equals plain ------------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ["malicious", "semi_honest"])
@pytest.mark.parametrize("weights", ["examples", "equal"])
@pytest.mark.parametrize(
    "task", ["risk", *(pytest.param(t, marks=pytest.mark.slow) for t in ("volatility", "signal"))]
)
def test_masked_equals_plain_up_to_the_step(
    nine: Make, task: str, weights: str, adversary: str
) -> None:
    """Sums as well as updates, whose mean is off by half a step and float32's rounding."""
    options = (f"task={task}", f"strategy.weights={weights}")
    masked = nine("aggregation=masked", f"aggregation.adversary={adversary}", *options)
    with _federation(nine(*options)) as plain, _federation(masked) as hidden:
        for name in plain.task.sums:
            first, second = plain.add_up(name), hidden.add_up(name)
            assert first.total is not None
            assert second.total is not None
            np.testing.assert_allclose(second.total, first.total, rtol=1e-9, atol=N * 1e-9)
            for federation in (plain, hidden):  # the same, so that training begins alike
                federation.shared[name] = federation.task.finish_sum(name, first.total)
        reports = plain.round(), hidden.round()
    by_examples = weights == "examples"
    n_values = len(plain.vector)
    layout = training_layout(masked.aggregation, n_values, N, by_examples=by_examples)  # type: ignore[arg-type]
    np.testing.assert_allclose(hidden.vector, plain.vector, rtol=3e-7, atol=layout.steps[0] + 3e-8)
    assert [report.n_replies for report in reports] == [N, N]
    assert reports[1].loss == pytest.approx(reports[0].loss, abs=1e-5)
    assert reports[1].refusals == ()


@pytest.mark.parametrize("strategy", ["scaffold", "fedadam"])
def test_what_is_made_of_the_mean_is_the_same(nine: Make, strategy: str) -> None:
    """Control variates behind the updates, and optimisers with a memory, over three rounds."""
    vectors = []
    for mode in ("plain", "masked"):
        with _federation(nine(f"aggregation={mode}", f"strategy={strategy}")) as federation:
            federation.prepare()
            assert [federation.round().n_replies for _ in range(3)] == [N] * 3
            vectors.append(federation.vector)
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_participants_in_worker_processes_go_on_from_their_stored_state(nine: Make) -> None:
    """Each message may meet another process."""
    vectors = []
    for options in ({}, {"n_workers": 2, "workers": "processes"}):
        with _federation(_masked(nine), **options) as federation:
            federation.prepare()
            assert [federation.round().refusals for _ in range(2)] == [(), ()]
            vectors.append(federation.vector)
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_all_messages_of_a_round_are_three(nine: Make) -> None:
    """Uploads, checks and unmasking; two without a check; the greeting and two more to begin."""
    for adversary, n_exchanges in (("malicious", 3), ("semi_honest", 2)):
        with _federation(_masked(nine, f"aggregation.adversary={adversary}")) as federation:
            assert len(federation.grid.asked) == 3
            federation.prepare()
            before = len(federation.grid.asked)
            federation.round()
            assert len(federation.grid.asked) - before == n_exchanges


def test_the_server_sees_words_and_no_update(nine: Make) -> None:
    """A training reply has masked words and the records of stages, no number of examples."""
    replies = []

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return (lambda reply: replies.append(reply) or reply) if "train" in stages else None

    with _federation(_masked(nine), fate) as federation:
        federation.prepare().round()
        n_values = len(federation.vector)
    assert len(replies) == N
    for reply in replies:
        assert set(reply.content) == {
            *("arrays", "metrics", "config", "secure.round", "secure.open"),
        }
        assert len(reply.content["metrics"]) == len(reply.content["config"]) == 0
        words = reply.content["arrays"]["words"].numpy()
        assert (words.dtype, words.shape) == (np.uint32, (n_values + 3,))


# --- groups -------------------------------------------------------------------------------------

GROUPS = ("aggregation.group_size=3", "strategy=robust", EQUAL, "strategy.byzantine_share=0.1")


@pytest.mark.parametrize("rule", ["median", "centered_clipping"])
def test_a_rule_sees_the_means_of_random_groups(nine: Make, plain: Federation, rule: str) -> None:
    """Other groups in each round, each of which is the mean of its members' updates."""
    groups = []
    with _federation(_masked(nine, *GROUPS, f"strategy.rule={rule}")) as federation:
        federation.prepare()
        for _ in range(3):
            before = federation.vector
            report = federation.round()
            assert (report.refusals, report.n_replies) == ((), N)
            updates = _updates(plain, before)
            members = [federation.members_of(row) for row in federation.rows]
            assert sorted(map(len, members)) == [3, 3, 3]
            assert set().union(*members) == ALL
            for row, numbers in zip(federation.rows, members, strict=True):
                expected = _mean(updates, numbers)
                np.testing.assert_allclose(row.update, expected, rtol=1e-5, atol=1e-7)
                assert row.n_examples == 3
            if rule == "median":
                step = np.median([row.update for row in federation.rows], axis=0)
                np.testing.assert_allclose(federation.vector, before + step, rtol=1e-6)
            groups.append({frozenset(numbers) for numbers in members})
    assert len({frozenset(group) for group in groups}) > 1


def test_a_group_that_fails_is_left_out_and_its_members_are_named(
    nine: Make, plain: Federation
) -> None:
    """Two of one group are silent, so its third is alone; the other groups are opened."""
    doomed: list[int] = []

    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        return "silent" if number in doomed and "train" in stages else None

    settings = _masked(nine, "aggregation.group_size=3")
    with _federation(settings, fate) as federation:
        federation.prepare()
        federation.round()
        cohorts = federation.mode.sums._server._session(FIRST_ROUND + 1)  # type: ignore[attr-defined]
        federation.mode.sums._server.participants(FIRST_ROUND + 1)  # type: ignore[attr-defined]
        group = cohorts.cohorts[0].cohort.members.tolist()
        doomed += group[:2]
        before = federation.vector
        report = federation.round()
        refusals = federation.participants(report)
        assert federation.heard == ALL - set(group)
    assert set(refusals) == set(group)
    assert "the sum of its group: 1 members are left, and min_contributors=3" in refusals[group[2]]
    assert [refusals[number] for number in doomed] == ["no reply in time"] * 2
    step = _mean(_updates(plain, before), ALL - set(group))
    np.testing.assert_allclose(federation.vector, before + step, rtol=1e-5, atol=1e-7)


# --- participants that fail ---------------------------------------------------------------------

FATES = [
    "silent",
    *(pytest.param(how, marks=pytest.mark.slow) for how in ("lost", "error", "late")),
]


def _failing(numbers: set[int], stage: str, sessions: range, how: str) -> Fate:
    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        return how if number in numbers and stages.get(stage, -1) in sessions else None

    return fate


# From the stage at which a participant fails once: of which sums, from that one on, it is no part.
MISSED = {"upload": [0, 1], "check": [], "unmask": [1, 2]}


@pytest.mark.parametrize("how", FATES)
@pytest.mark.parametrize("stage", MISSED)
def test_one_that_fails_costs_nobody_else_and_is_welcomed_back(
    nine: Make, plain: Federation, stage: str, how: str
) -> None:
    """In each round the step is the mean of those who are in it."""
    at = FIRST_ROUND + 1
    with _federation(_masked(nine), _failing({4}, stage, range(at, at + 1), how)) as federation:
        federation.prepare()
        for k in range(-1, 4):
            before = federation.vector
            report = federation.round()
            expected = ALL - ({4} if k in MISSED[stage] else set())
            assert federation.heard == expected
            assert not report.skipped
            refusals = federation.participants(report)
            assert set(refusals) == ({4} if k in MISSED[stage] or k == 0 else set())
            if k == 0:
                said = "it broke down" if how == "error" else "no reply"
                assert said in refusals[4]
                assert (stage in refusals[4]) == (stage != "upload")
            elif refusals:
                assert "it is no part of this sum" in refusals[4]
            step = _mean(_updates(plain, before), expected)
            np.testing.assert_allclose(federation.vector, before + step, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "how", ["lost", *(pytest.param(h, marks=pytest.mark.slow) for h in ("silent", "error", "late"))]
)
@pytest.mark.parametrize("stage", ["pledge", "open", "share"])
def test_one_that_fails_before_the_first_sum_joins_the_next(
    nine: Make, stage: str, how: str
) -> None:
    """Whoever does not answer the greeting, with which the first pledge comes, is left out."""
    fate = _failing({4}, stage, range(1), how)
    with _federation(_masked(nine), fate) as federation:
        joined = set(federation.members.participants.values())
        refusals = dict(federation.members.refusals)
        assert len(refusals) == 1
        assert joined == (ALL - {4} if stage == "pledge" else ALL)
        assert stage == "pledge" or stage in next(iter(refusals.values()))
        n_refusals = []
        for name in federation.task.sums:
            summed = federation.add_up(name)
            assert summed.total is not None
            federation.shared[name] = federation.task.finish_sum(name, summed.total)
            n_refusals.append(len(summed.refusals))
        assert n_refusals == {"pledge": [0, 0], "open": [1, 0], "share": [1, 1]}[stage]
        federation.round()
        assert federation.heard == joined


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lost", "silent", "error", "late"])
@pytest.mark.parametrize("stage", MISSED)
def test_one_that_fails_in_several_rounds_is_welcomed_back_after_the_last(
    nine: Make, stage: str, how: str
) -> None:
    at = FIRST_ROUND + 1
    fate = _failing({4}, stage, range(at, at + 3), how)
    with _federation(_masked(nine), fate) as federation:
        federation.prepare()
        heard = []
        for _ in range(8):
            report = federation.round()
            assert not report.skipped
            assert set(federation.participants(report)) <= {4}
            heard.append(4 in federation.heard)
            assert federation.heard >= ALL - {4}
    # With uploads it fails at the second round, is no part of the third, and so on.
    expected = {
        "upload": [True, False, False, False, False, True, True, True],
        "check": [True] * 8,
        "unmask": [True, True, False, False, True, True, True, True],
    }
    assert heard == expected[stage]


SKIPPED = {
    "upload": ("2 members are left, and min_contributors=3", 2),
    "check": ("2 of the committee have signed who is left", 1),
    "unmask": ("shares of the secret of member", 3),
}


@pytest.mark.parametrize("how", FATES)
@pytest.mark.parametrize("stage", SKIPPED)
def test_where_too_many_fail_the_round_is_skipped_and_all_come_back(
    nine: Make, stage: str, how: str
) -> None:
    """The model is kept, nothing is opened below `min_contributors`, and the reason is told."""
    at, gone = FIRST_ROUND + 1, ALL - {0, 1}
    with _federation(_masked(nine), _failing(gone, stage, range(at, at + 1), how)) as federation:
        federation.prepare()
        federation.round()
        before, reasons = federation.vector, []
        for _ in range(SKIPPED[stage][1]):
            report = federation.round()
            assert federation.vector is before
            assert report.n_replies == 0
            reasons.append(report.skipped)
        assert SKIPPED[stage][0] in reasons[0]
        assert all("min_contributors=3" in reason for reason in reasons[1:])
        assert federation.round().skipped == ""
        assert federation.heard == ALL
        asked = [m.content for messages in federation.grid.asked for m in messages]
    unmasked = {c["secure.unmask"]["session"] for c in asked if "secure.unmask" in c}
    assert unmasked.isdisjoint(range(at, at + 1)) == (stage != "unmask")


def test_a_federated_sum_is_tried_again_once_those_who_failed_are_back(nine: Make) -> None:
    """Whoever could not set up the sum was not asked for its part, so nothing is given twice."""
    fate = _failing(ALL - {0, 1}, "share", range(1), "silent")
    with _federation(_masked(nine), fate) as federation:
        summed = federation.add_up()
        assert summed.total is not None
        parts = [c for messages in federation.grid.asked for c in messages if _is_part(c)]
        assert len(parts) == N


def _is_part(message: Any) -> bool:
    return message.metadata.message_type == "query.sum"


def test_a_federated_sum_that_too_few_give_parts_to_names_the_reason(nine: Make) -> None:
    """Parts are asked for once only: two sums of almost the same members show the difference."""
    fate = _failing(ALL - {0, 1}, "upload", range(1), "silent")
    with _federation(_masked(nine), fate) as federation:
        summed = federation.add_up()
        assert summed.total is None
        assert "2 members are left, and min_contributors=3" in summed.problem
        parts = [c for messages in federation.grid.asked for c in messages if _is_part(c)]
        assert len(parts) == N


def test_a_part_beyond_the_bound_costs_its_sender_alone(
    nine: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """It refuses before anything leaves it, and its own log says which setting to change."""
    parts: dict[int, np.ndarray] = {}

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def watch(reply: Message) -> Message:
            if "sum" in reply.content["arrays"]:
                parts[number] = reply.content["arrays"]["sum"].numpy()
            return reply

        return watch

    with _federation(nine()) as plain:
        plain.grid.fate = fate
        plain.add_up()
    sizes = {number: np.abs(part).max() for number, part in parts.items()}
    *_, second, largest = sorted(sizes, key=lambda number: sizes[number])
    bound = float((sizes[second] + sizes[largest]) / 2)
    with _federation(_masked(nine, f"aggregation.sum_bound={bound!r}")) as federation:
        summed = federation.add_up()
        assert summed.total is not None
        expected = np.sum([parts[number] for number in ALL - {largest}], axis=0)
        np.testing.assert_allclose(summed.total, expected, rtol=1e-6, atol=1e-7)
        ((node, reason),) = summed.refusals
        assert federation.members.participants[node] == largest
        assert "it is too large to be added; its own log says why" in reason
        assert not re.search(r"\d", reason)
    assert "must be finite and within" in caplog.text
    assert "raise the bound" in caplog.text


def test_a_node_that_is_not_connected_is_as_one_that_is_silent(
    nine: Make, plain: Federation
) -> None:
    """Members count with the same step as those who are there."""
    with _federation(_masked(nine)) as federation:
        federation.prepare()
        federation.grid.absent = {4}
        before = federation.vector
        assert not federation.round().skipped
        assert federation.heard == ALL - {4}
        step = _mean(_updates(plain, before), ALL - {4})
        np.testing.assert_allclose(federation.vector, before + step, rtol=1e-5, atol=1e-7)
        federation.grid.absent = set()
        federation.round()
        federation.round()
        assert federation.heard == ALL
