"""From the outcomes of all episodes to the results of a run: scores, comparisons, the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.evaluation import (
    Interval,
    block_bootstrap_interval,
    mean_t,
    relative_gain,
    relative_gain_interval,
)
from fedtrade.outcome import EpisodeOutcome
from fedtrade.report.results import ALL_PARTICIPANTS, SCHEMA_VERSION, Results
from fedtrade.report.verdict import verdict
from fedtrade.settings import Settings
from fedtrade.tasks.task import FEDERATED, Evaluation, Headline, Task
from fedtrade.wire import bar_text

__all__ = ["assemble"]

SPARSE_TEST_BARS = 60
"""Origins at least this far apart are taken as independent; nearer ones get a HAC variance."""

FloatArray = NDArray[np.float64]


def assemble(settings: Settings, task: Task, outcomes: Sequence[EpisodeOutcome]) -> Results:
    """Score all arms over the finished episodes and compare the federated one with each other.

    The episode of the final model has no evaluation; only its failures count.

    Raises
    ------
    ValueError
        If no episode has an evaluation.
    """
    scored = [outcome for outcome in outcomes if outcome.evaluations]
    if not scored:
        raise ValueError("no episode was scored.")
    arms = _common_arms(scored)
    scores = _DailyScores.gather(scored, arms)
    comparisons = (
        [
            _Comparison.of(task.headline, settings, scores, arms.index(FEDERATED), k, arm)
            for k, arm in enumerate(arms)
            if arm != FEDERATED
        ]
        if FEDERATED in arms
        else []
    )
    metrics = [*_metrics(task, scored, arms, scores)]
    metrics += [record for comparison in comparisons for record in comparison.records()]
    results = Results.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "fedtrade_version": version("fedtrade"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "task": task.name,
            "settings": settings.to_mapping(),
            "verdict": "",
            "notes": (),
            "headline": {
                name: getattr(task.headline, name)
                for name in ("metric", "level", "unit", "scale", "lower_is_better", "relative")
            },
            "episodes": [_episode(outcome) for outcome in scored],
            "rounds": [record for outcome in scored for record in _rounds(outcome)],
            "failures": [record for outcome in outcomes for record in _failures(outcome)],
            "metrics": metrics,
            "series": {"daily": scores.series(), "path": _path(scored)},
        }
    )
    sentence, notes = verdict(results, settings)
    notes = (*_task_notes(task, scores), *notes, *_setting_notes(settings))
    return results.model_copy(update={"verdict": sentence, "notes": notes})


def _task_notes(task: Task, scores: "_DailyScores") -> tuple[str, ...]:
    """What a task says of the daily scores by itself, such as that there is no edge after costs."""
    return task.notes(dict(zip(scores.arms, scores.mean[0], strict=True)))


def _setting_notes(settings: Settings) -> tuple[str, ...]:
    """What the settings themselves give away."""
    counts_alike = settings.strategy.options.get("weights") == "equal"
    if settings.federation.setting == "cold_start" and counts_alike:
        return (
            "All participants count alike (strategy.weights=equal) in a cold start: newcomers, "
            "whom little history keeps near the untrained model, hold back what incumbents learn.",
        )
    return ()


def _common_arms(outcomes: Sequence[EpisodeOutcome]) -> tuple[str, ...]:
    """Arms that every participant scored in every episode, in the order of the first."""
    evaluations = [e for outcome in outcomes for e in outcome.evaluations.values()]
    common = set(evaluations[0].arms).intersection(*(e.arms for e in evaluations))
    return tuple(arm for arm in evaluations[0].arms if arm in common)


@dataclass(frozen=True, eq=False)  # without slots, for what is computed once
class _DailyScores:
    """Daily values, each participant's scored bars joined in order of time.

    `values[p]` has shape (n_daily, n_arms, n_bars_of_p) on `bars[p]` (positions in `calendar`),
    `origins[p]` says to which of the origins each bar belongs.
    """

    arms: tuple[str, ...]
    calendar: NDArray[np.datetime64]
    participants: tuple[int, ...]
    bars: tuple[NDArray[np.intp], ...]
    origins: tuple[NDArray[np.intp], ...]
    values: tuple[FloatArray, ...]

    @classmethod
    def gather(cls, outcomes: Sequence[EpisodeOutcome], arms: tuple[str, ...]) -> "_DailyScores":
        calendar = np.unique(
            np.concatenate([e.bars for o in outcomes for e in o.evaluations.values()])
        )
        origins = sorted({outcome.episode.origin for outcome in outcomes})
        participants = sorted({number for o in outcomes for number in o.evaluations})
        bars, where, values = [], [], []
        for number in participants:
            own = [o for o in outcomes if number in o.evaluations]
            own.sort(key=lambda outcome: outcome.episode.origin)
            found = [o.evaluations[number] for o in own]
            bars.append(np.concatenate([np.searchsorted(calendar, e.bars) for e in found]))
            where.append(
                np.concatenate(
                    [
                        np.full(len(e.bars), origins.index(o.episode.origin))
                        for o, e in zip(own, found, strict=True)
                    ]
                )
            )
            values.append(
                np.concatenate([e.daily[:, [e.arms.index(a) for a in arms]] for e in found], axis=2)
            )
        return cls(arms, calendar, tuple(participants), tuple(bars), tuple(where), tuple(values))

    @cached_property
    def mean(self) -> FloatArray:
        """Mean over the participants scored at each bar, shape (n_daily, n_arms, n_bars)."""
        n_daily, n_arms, _ = self.values[0].shape
        total = np.zeros((n_daily, n_arms, len(self.calendar)))
        count = np.zeros_like(total)
        for bars, values in zip(self.bars, self.values, strict=True):
            known = np.isfinite(values)
            total[:, :, bars] += np.where(known, values, 0.0)
            count[:, :, bars] += known
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    @cached_property
    def origin_of_bar(self) -> NDArray[np.intp]:
        """To which origin each bar of the calendar belongs."""
        out = np.zeros(len(self.calendar), dtype=np.intp)
        for bars, origins in zip(self.bars, self.origins, strict=True):
            out[bars] = origins
        return out

    def series(self) -> dict[str, Any]:
        headline = self.mean[0]
        return {"bars": self.calendar, **dict(zip(self.arms, headline, strict=True))}


class _Comparison(NamedTuple):
    """The federated arm against one other."""

    arm: str
    gain: Interval
    t: float
    gain_of: Mapping[int, float]

    @classmethod
    def of(
        cls,
        headline: Headline,
        settings: Settings,
        scores: _DailyScores,
        federated: int,
        other: int,
        arm: str,
    ) -> "_Comparison":
        mean = scores.mean[0]
        ours, theirs = mean[federated], mean[other]
        # Positive is better, whatever the direction of the score.
        better = theirs - ours if headline.lower_is_better else ours - theirs
        sparse = settings.evaluation.test_bars >= SPARSE_TEST_BARS
        origin = scores.origin_of_bar
        known = np.isfinite(better)
        by_origin = np.array(
            [better[(origin == k) & known].mean() for k in np.unique(origin[known])]
        )
        options = {
            "n_resamples": settings.evaluation.bootstrap_resamples,
            "seed": settings.seed,
        }
        if headline.relative:
            interval = relative_gain_interval(ours, theirs, **options)
        else:
            interval = block_bootstrap_interval(better, **options)
        gain_of = {}
        for number, values in zip(scores.participants, scores.values, strict=True):
            mine, others = values[0, federated], values[0, other]
            if headline.relative:
                gain_of[number] = float(relative_gain(mine, others))
            else:
                sign = -1.0 if headline.lower_is_better else 1.0
                difference = sign * (mine - others)
                known = np.isfinite(difference)
                gain_of[number] = float(difference[known].mean()) if known.any() else np.nan
        return cls(arm, interval, mean_t(by_origin, lags=0 if sparse else None), gain_of)

    def records(self) -> Iterable[dict[str, Any]]:
        gains = np.array([gain for gain in self.gain_of.values() if np.isfinite(gain)])
        values = {
            "gain_vs": float(self.gain.estimate),
            "gain_low_vs": float(self.gain.low),
            "gain_high_vs": float(self.gain.high),
            "t_vs": self.t,
            "share_better_vs": float(np.mean(gains > 0.0)) if gains.size else np.nan,
            "worst_gain_vs": float(gains.min()) if gains.size else np.nan,
        }
        for name, value in values.items():
            yield _record(FEDERATED, f"{name}:{self.arm}", None, ALL_PARTICIPANTS, value)
        for number, gain in self.gain_of.items():
            yield _record(FEDERATED, f"gain_vs:{self.arm}", None, str(number), gain)


def _metrics(
    task: Task, outcomes: Sequence[EpisodeOutcome], arms: Sequence[str], scores: _DailyScores
) -> Iterable[dict[str, Any]]:
    everyone = scores.mean
    for k, arm in enumerate(arms):
        totals = {
            number: _total(
                _totals(o.evaluations[number], arm) for o in outcomes if number in o.evaluations
            )
            for number in scores.participants
        }
        whole = _total(totals.values())
        for metric, level, value in task.scores(whole, everyone[:, k]):
            yield _record(arm, metric, level, ALL_PARTICIPANTS, value)
        for number, values in zip(scores.participants, scores.values, strict=True):
            for metric, level, value in task.scores(totals[number], values[:, k]):
                yield _record(arm, metric, level, str(number), value)


def _total(parts: Iterable[FloatArray]) -> FloatArray:
    total: FloatArray = np.sum(list(parts), axis=0)
    return total


def _totals(evaluation: Evaluation, arm: str) -> FloatArray:
    totals: FloatArray = evaluation.totals[evaluation.arms.index(arm)]
    return totals


def _record(
    arm: str, metric: str, level: float | None, participant: str, value: float
) -> dict[str, Any]:
    return {
        "arm": arm,
        "metric": metric,
        "level": level,
        "participant": participant,
        "value": value,
    }


def _episode(outcome: EpisodeOutcome) -> dict[str, Any]:
    episode = outcome.episode
    return {
        "episode": episode.number,
        "fold": episode.fold,
        "origin": bar_text(episode.origin),
        "test_end": bar_text(episode.test_end),
        "n_participants": outcome.n_participants,
    }


def _rounds(outcome: EpisodeOutcome) -> Iterable[dict[str, Any]]:
    for log in outcome.rounds:
        yield {
            "episode": outcome.episode.number,
            "round": log.round_number,
            "n_replies": log.n_replies,
            "n_failures": log.n_failures,
            "loss": log.loss,
            "update_norm": log.update_norm,
            "seconds": log.seconds,
        }


def _failures(outcome: EpisodeOutcome) -> Iterable[dict[str, Any]]:
    last = len(outcome.rounds) + 1
    for failure in outcome.failures:
        yield {
            "episode": outcome.episode.number,
            "round": last if failure.round_number < 0 else failure.round_number,
            "participant": str(failure.participant),
            "reason": failure.reason,
        }


def _path(outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any] | None:
    """The path that was disclosed by the first participant scored in the last episode."""
    number, evaluation = min(outcomes[-1].evaluations.items())
    if evaluation.path is None:
        return None
    path = evaluation.path
    return {
        "participant": str(number),
        "asset": path.asset,
        "level": path.level,
        "bars": path.bars,
        "return": path.returns,
        "var": path.var,
        "es": path.es,
    }
