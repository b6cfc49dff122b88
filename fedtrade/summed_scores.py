"""Scores that are only seen added up over participants.

A participant's part is one array whose shape follows from what everybody knows: the arms, the task
and the bars that the episode may score. Where the participant has no value it adds zero, and a
count beside the sum says how many had one. The total gives the means over participants that the
report shows, and nothing of one participant.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.gain import headline_gain
from fedtrade.secure import PrivateAggregation
from fedtrade.settings import SUMMED, Settings
from fedtrade.tasks.task import FEDERATED, Evaluation, Task
from fedtrade.wire import EpisodeRecord

__all__ = [
    "SummedScores",
    "check_summed_scores",
    "no_score_part",
    "read_score_total",
    "score_part",
    "scored_bars",
]

FloatArray = NDArray[np.float64]
Bars = NDArray[np.datetime64]

COARSE = 2.0**20
"""Totals are sent as so many of these and a rest: a forecast of nearly no risk can make one larger
than fixed-point numbers of a resolution that the others need."""

COUNT_ERROR = 1e-3
"""Sums of whole numbers are at most so far from one, even under approximate encryption."""

LARGEST_COUNT = 1e15
"""Doubles tell larger whole numbers hardly apart."""


@dataclass(frozen=True, slots=True, eq=False)
class SummedScores:
    """The scores of all participants of an episode together.

    Attributes
    ----------
    arms : tuple of str
    bars : datetime64 of shape (n_bars,)
        Those that somebody was scored at.
    n_scored : int
        Participants whose scores are in it.
    totals : float64 of shape (n_arms, n_totals)
        As those of an `Evaluation`, added over participants.
    daily : float64 of shape (n_daily, n_arms, n_bars)
        Added over the participants that have a value.
    n_known : int of shape (n_daily, n_arms, n_bars)
        How many have one.
    n_better, n_compared : int of shape (n_arms,)
        Participants better off with the federated model than with the arm, over their scored bars
        of the episode, and those for whom it can be told.
    """

    arms: tuple[str, ...]
    bars: Bars
    n_scored: int
    totals: FloatArray
    daily: FloatArray
    n_known: NDArray[np.intp]
    n_better: NDArray[np.intp]
    n_compared: NDArray[np.intp]

    @property
    def mean(self) -> FloatArray:
        """Mean of `daily` over participants; NaN where nobody has a value."""
        nowhere = np.full_like(self.daily, np.nan)
        return np.divide(self.daily, self.n_known, out=nowhere, where=self.n_known > 0)


def scored_bars(calendar: Bars, episode: EpisodeRecord) -> Bars:
    """The bars of an episode's calendar that may be scored: those after its origin."""
    first, last = np.datetime64(episode.origin, "s"), np.datetime64(episode.test_end, "s")
    return calendar[(calendar > first) & (calendar <= last)]


def score_part(evaluation: Evaluation, task: Task, bars: Bars) -> FloatArray:
    """What a scored participant adds, one vector.

    Parameters
    ----------
    bars : datetime64 of shape (n_bars,)
        See `scored_bars`; those of the evaluation are among them.

    Raises
    ------
    ValueError
        If the evaluation cannot be added: totals that are not finite, other bars, or a headline
        score that some arms have at a bar and others do not.
    """
    parts = _zeros(len(evaluation.arms), task, len(bars))
    where = np.searchsorted(bars, evaluation.bars)
    if not np.isin(evaluation.bars, bars).all():
        raise ValueError("the evaluation has bars outside of the episode's test period.")
    known = np.isfinite(evaluation.daily)
    if not np.isfinite(evaluation.totals).all() or np.isinf(evaluation.daily).any():
        raise ValueError("the evaluation has totals or daily scores that are not finite.")
    if (known[0] != known[0, 0]).any() or not known[0].any():
        raise ValueError("the headline score is not known at the same bars for all arms, or never.")
    parts["scored"] += 1.0
    parts["coarse"] += np.rint(evaluation.totals / COARSE)
    parts["totals"] += evaluation.totals - COARSE * parts["coarse"]
    parts["daily"][:, :, where] = np.where(known, evaluation.daily, 0.0)
    parts["bars"][where] = 1.0
    parts["headline"][where] = known[0, 0]
    parts["others"][:, :, where] = known[1:]
    if FEDERATED in evaluation.arms:
        scores = evaluation.daily[0]
        ours = scores[evaluation.arms.index(FEDERATED)]
        gains = np.array([headline_gain(task.headline, ours, theirs) for theirs in scores])
        parts["better"] += gains > 0.0
        parts["compared"] += np.isfinite(gains)
    return _packed(parts)


def no_score_part(n_arms: int, task: Task, bars: Bars) -> FloatArray:
    """What a participant adds that is not scored: zeros, of the shape of a `score_part`."""
    return _packed(_zeros(n_arms, task, len(bars)))


def read_score_total(
    total: FloatArray,
    task: Task,
    *,
    arms: tuple[str, ...],
    models: Collection[str],
    bars: Bars,
    n_least: int,
    n_most: int,
) -> SummedScores:
    """Check the total of all parts and take it apart.

    Parameters
    ----------
    arms : tuple of str
        Of most participants.
    models : collection of str
        Arms that must be among them.
    bars : datetime64 of shape (n_bars,)
        See `scored_bars`.
    n_least, n_most : int
        Between which the number of participants scored must be.

    Raises
    ------
    FedtradeError
        If it is nothing that honest participants' parts add up to.
    """
    missing = sorted(set(models) - set(arms))
    if missing or len(set(arms)) != len(arms):
        raise _refusal(f"is of the arms {', '.join(arms) or 'none'}: {', '.join(missing)} missing")
    shapes = {name: part.shape for name, part in _zeros(len(arms), task, len(bars)).items()}
    size = sum(math.prod(shape) for shape in shapes.values())
    if total.shape != (size,):
        raise _refusal(f"has the shape {total.shape} instead of {(size,)}")
    if not np.isfinite(total).all():
        raise _refusal("is not finite")
    parts = _unpacked(total, shapes)
    whole = {name: _whole(parts[name]) for name in shapes if name not in ("totals", "daily")}
    coarse, counts = whole.pop("coarse"), whole
    if any((count < 0).any() for count in counts.values()):
        raise _refusal("has negative counts")
    n_scored = int(counts["scored"])
    if not n_least <= n_scored <= n_most:
        raise _refusal(f"is of {n_scored} participants scored, and {n_least} to {n_most} can be")
    headline = np.broadcast_to(counts["headline"], (1, len(arms), len(bars)))
    n_known = np.concatenate([headline, counts["others"]])
    if (
        (n_known > counts["bars"]).any()
        or (counts["bars"] > n_scored).any()
        or (counts["better"] > counts["compared"]).any()
        or (counts["compared"] > n_scored).any()
    ):
        raise _refusal(f"counts more values at a bar than participants scored ({n_scored})")
    if not counts["headline"].any():
        raise _refusal("has no headline score at any bar")
    there = np.flatnonzero(counts["bars"])
    n_known = n_known[:, :, there]
    found = SummedScores(
        arms,
        bars[there],
        n_scored,
        COARSE * coarse + parts["totals"],
        np.where(n_known > 0, parts["daily"][:, :, there], 0.0),
        n_known,
        counts["better"],
        counts["compared"],
    )
    _check_scores(found, task)
    return found


def check_summed_scores(settings: Settings, n_participants: int) -> None:
    """Refuse a run in which a sum of scores would show one participant's.

    Participants that are not scored add zeros, and hide nobody.

    Parameters
    ----------
    n_participants : int
        Of all, present or not.

    Raises
    ------
    ConfigurationError
        If fewer than `aggregation.min_contributors` are scored in an episode.
    """
    aggregation, federation = settings.aggregation, settings.federation
    if settings.scores != SUMMED or not isinstance(aggregation, PrivateAggregation):
        return
    remedy = (
        "use federation=same_history, where everybody is scored, or let each one's scores be seen "
        "with evaluation.scores=by_participant"
    )
    n_scored = min(federation.n_scored(n_participants, fold) for fold in range(federation.n_folds))
    least = aggregation.min_contributors
    if n_scored < least:
        raise ConfigurationError(
            f"only {n_scored} of {n_participants} participants are scored in an episode, and no "
            f"sum of fewer than aggregation.min_contributors={least} is opened: {remedy}."
        )


def _zeros(n_arms: int, task: Task, n_bars: int) -> dict[str, FloatArray]:
    """The parts of the vector by name; where the headline is known is the same for all arms."""
    n_daily = len(task.daily)
    shapes: dict[str, tuple[int, ...]] = {
        "scored": (),
        "totals": (n_arms, len(task.totals)),
        "coarse": (n_arms, len(task.totals)),
        "daily": (n_daily, n_arms, n_bars),
        "bars": (n_bars,),
        "headline": (n_bars,),
        "others": (n_daily - 1, n_arms, n_bars),
        "better": (n_arms,),
        "compared": (n_arms,),
    }
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _packed(parts: Mapping[str, FloatArray]) -> FloatArray:
    return np.concatenate([part.ravel() for part in parts.values()])


def _unpacked(total: FloatArray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, FloatArray]:
    parts, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        parts[name] = total[start:end].reshape(shape)
        start = end
    return parts


def _whole(values: FloatArray) -> NDArray[np.intp]:
    whole = np.rint(values)
    if (np.abs(values - whole) > COUNT_ERROR).any() or (np.abs(whole) > LARGEST_COUNT).any():
        raise _refusal("has counts that are absurd or no whole numbers")
    return whole.astype(np.intp)


def _check_scores(found: SummedScores, task: Task) -> None:
    """Compute every arm's metrics once, because the report will."""
    mean = found.mean
    for k, arm in enumerate(found.arms):
        try:
            task.scores(found.totals[k], mean[:, k])
        except Exception as error:  # a task's arithmetic on a stranger's numbers
            raise _refusal(f"gives no metrics of {arm}: {error}") from error


def _refusal(reason: str) -> FedtradeError:
    return FedtradeError(
        f"the federated sum of scores {reason}; a participant sent a part that cannot be, or other "
        "settings than most."
    )
