"""Random evaluations that are added up, and totals that nobody honest makes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf import compose
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.gain import headline_gain
from fedtrade.summed_scores import (
    SummedScores,
    check_summed_scores,
    no_score_part,
    read_score_total,
    score_part,
    scored_bars,
)
from fedtrade.tasks.task import Evaluation, Headline, Score
from fedtrade.wire import EpisodeRecord, bars_of

DAY = 86_400
CALENDAR = bars_of(np.arange(12.0) * DAY)
EPISODE = EpisodeRecord(0, 0, origin=4 * DAY, test_end=10 * DAY, n_skip=0)
BARS = CALENDAR[5:11]
ARMS = ("naive", "federated", "pooled")


class FakeTask:
    """Two totals and three layers of daily scores; its metrics refuse a negative second total."""

    totals = ("n", "loss")
    daily = ("loss", "turnover", "rank")
    headline = Headline("loss")

    def scores(self, totals: Any, daily: Any) -> Sequence[Score]:
        if totals[1] < 0.0:
            raise ValueError("a negative loss")
        return [Score("loss", None, totals[1] / totals[0])]


TASK: Any = FakeTask()


def evaluations(seed: int, n: int) -> list[Evaluation]:
    """Each on bars of its own, with unknown values: of the headline for all arms or for none."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        bars = np.sort(
            rng.choice(len(BARS), size=int(rng.integers(1, len(BARS) + 1)), replace=False)
        )
        daily = rng.uniform(0.1, 1.0, size=(3, len(ARMS), len(bars)))
        daily[1:][rng.random(daily[1:].shape) < 0.3] = np.nan
        daily[0][:, 1:][:, rng.random(len(bars) - 1) < 0.3] = np.nan
        totals = rng.uniform(1.0, 100.0, size=(len(ARMS), 2))
        found.append(Evaluation(ARMS, BARS[bars], totals, daily))
    return found


def read(total: np.ndarray, **changes: Any) -> SummedScores:
    """Of at most five participants, if nothing else is said."""
    expected: dict[str, Any] = {
        "arms": ARMS,
        "models": {"federated", "pooled"},
        "bars": BARS,
        "n_least": 1,
        "n_most": 5,
    }
    return read_score_total(total, TASK, **(expected | changes))


def test_bars_after_the_origin_may_be_scored() -> None:
    np.testing.assert_array_equal(scored_bars(CALENDAR, EPISODE), BARS)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(0, 3))
def test_the_total_has_what_the_evaluations_have(seed: int, n_scored: int, n_others: int) -> None:
    found = evaluations(seed, n_scored)
    nothing = no_score_part(len(ARMS), TASK, BARS)
    parts = [score_part(e, TASK, BARS) for e in found]
    assert {part.shape for part in parts} == {nothing.shape}
    summed = read(np.sum([*parts, *[nothing] * n_others], axis=0))
    assert (summed.arms, summed.n_scored) == (ARMS, n_scored)
    np.testing.assert_allclose(summed.totals, np.sum([e.totals for e in found], axis=0))
    np.testing.assert_array_equal(summed.bars, np.unique(np.concatenate([e.bars for e in found])))
    each = np.full((n_scored, 3, len(ARMS), len(summed.bars)), np.nan)
    for values, e in zip(each, found, strict=True):
        values[:, :, np.searchsorted(summed.bars, e.bars)] = e.daily
    np.testing.assert_array_equal(summed.n_known, np.isfinite(each).sum(axis=0))
    np.testing.assert_allclose(summed.daily, np.nansum(each, axis=0))
    is_known = summed.n_known > 0
    np.testing.assert_array_equal(np.isfinite(summed.mean), is_known)
    np.testing.assert_allclose((summed.mean * summed.n_known)[is_known], summed.daily[is_known])
    gains = np.array(
        [[headline_gain(TASK.headline, e.daily[0, 1], row) for row in e.daily[0]] for e in found]
    )
    np.testing.assert_array_equal(summed.n_better, (gains > 0.0).sum(axis=0))
    np.testing.assert_array_equal(summed.n_compared, np.isfinite(gains).sum(axis=0))


def _changed(**changes: Any) -> Evaluation:
    (evaluation,) = evaluations(0, 1)
    found = {"arms": ARMS, "bars": BARS[:2], "totals": np.ones((3, 2)), "daily": np.ones((3, 3, 2))}
    assert evaluation.arms == found["arms"]
    return Evaluation(**(found | changes))


HOLE = np.ones((3, 3, 2))
HOLE[0, 1, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bars": CALENDAR[4:6]}, "outside of the episode's test period"),
        ({"totals": np.full((3, 2), np.nan)}, "not finite"),
        ({"daily": np.full((3, 3, 2), np.inf)}, "not finite"),
        ({"daily": HOLE}, "not known at the same bars for all arms"),
        ({"daily": np.full((3, 3, 2), np.nan)}, "or never"),
    ],
)
def test_a_participant_keeps_back_what_cannot_be_added(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_part(_changed(**changes), TASK, BARS)


def test_huge_totals_are_sent_in_parts_that_are_not() -> None:
    """Within what a masked sum takes, at a resolution that small ones need."""
    values = np.array([[1.7e6, 3e11], [0.1, 5e5], [-(2.0**20), 2.0**19]])
    part = score_part(_changed(totals=values), TASK, BARS)
    assert np.abs(part).max() <= 1e6
    np.testing.assert_allclose(read(2.0 * part).totals, 2.0 * values, rtol=1e-15)


def test_without_a_federated_arm_nobody_is_compared() -> None:
    part = score_part(_changed(arms=("naive", "har", "pooled")), TASK, BARS)
    summed = read(part, arms=("naive", "har", "pooled"), models={"pooled"})
    assert summed.n_compared.tolist() == [0, 0, 0]


# Where the parts of the vector start: 1 scored, 6 totals, their 6 coarse parts, 54 daily, 6 bars,
# 6 headline, 36 others, 3 better, 3 compared.
TOTALS, COARSE, DAILY, SCORED_AT, HEADLINE, OTHERS = 1, 7, 13, 67, 73, 79
BETTER, COMPARED = 115, 118


def _honest() -> np.ndarray:
    total: np.ndarray = 2.0 * score_part(_changed(), TASK, BARS)
    assert total.shape == (121,)
    return total


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, 0.0, "is of 0 participants scored, and 1 to 5 can be"),
        (0, 6.0, "is of 6 participants scored"),
        (0, 1.5, "no whole numbers"),
        (0, 1.0, r"counts more values at a bar than participants scored \(1\)"),
        (TOTALS, np.nan, "is not finite"),
        (DAILY, -np.inf, "is not finite"),
        (COARSE, 0.5, "no whole numbers"),
        (COARSE, 1e17, "absurd"),
        (TOTALS + 1, -7.0, "gives no metrics of naive: a negative loss"),
        (SCORED_AT, 3.0, "counts more values"),
        (HEADLINE, 3.0, "counts more values"),
        (HEADLINE + 1, -1.0, "negative counts"),
        (OTHERS, 3.0, "counts more values"),
        (OTHERS, 1.01, "no whole numbers"),
        (BETTER, 5.0, "counts more values"),
        (COMPARED, 5.0, "counts more values"),
    ],
)
def test_a_total_that_cannot_be_is_refused(position: int, value: float, message: str) -> None:
    total = _honest()
    total[position] = value
    with pytest.raises(FedtradeError, match=f"the federated sum of scores .*{message}"):
        read(total)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": (*ARMS, "fhs")}, "has the shape"),
        ({"arms": ("naive", "fhs", "har")}, "federated, pooled missing"),
        ({"arms": ("naive", "federated", "federated"), "models": set()}, "of the arms naive"),
        ({"arms": ()}, "of the arms none"),
        ({"n_least": 3}, "is of 2 participants scored, and 3 to 5 can be"),
        ({"bars": BARS[:-1]}, "has the shape"),
    ],
)
def test_a_total_of_something_else_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FedtradeError, match=message):
        read(_honest(), **changes)


def test_a_total_without_a_headline_score_is_refused() -> None:
    total = _honest()
    total[HEADLINE:OTHERS] = 0.0
    with pytest.raises(FedtradeError, match="no headline score at any bar"):
        read(total)


def test_counts_may_be_off_by_the_noise_of_a_sum() -> None:
    rng = np.random.default_rng(0)
    total = _honest()
    summed = read(total + rng.uniform(-1e-5, 1e-5, size=total.shape))
    assert summed.n_scored == 2
    # What nobody has is no noise either.
    assert (summed.daily[summed.n_known == 0] == 0.0).all()


# --- who must not be summed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "n_participants", "message"),
    [
        (["aggregation=masked"], 5, "only 2 of 5 participants are scored"),
        (["aggregation=encrypted"], 4, "only 2 of 4 participants are scored"),
    ],
)
def test_a_sum_of_few_newcomers_is_refused(
    overrides: list[str], n_participants: int, message: str
) -> None:
    settings = compose(["federation=cold_start", *overrides])
    with pytest.raises(ConfigurationError, match=message):
        check_summed_scores(settings, n_participants)


@pytest.mark.parametrize(
    ("overrides", "n_participants"),
    [
        (["federation=cold_start", "aggregation=masked"], 6),
        (["federation=same_history", "aggregation=masked"], 3),
        (["federation=same_history", "aggregation=masked", "aggregation.group_size=5"], 20),
        (["aggregation=masked", "evaluation.scores=by_participant"], 4),
        (["aggregation=plain", "evaluation.scores=summed"], 2),
    ],
)
def test_others_are_not(overrides: list[str], n_participants: int) -> None:
    check_summed_scores(compose(overrides), n_participants)
