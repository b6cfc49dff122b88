"""From the outcomes of all episodes to the results of a run: scores, comparisons, the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.evaluation import (
    Interval,
    block_bootstrap_interval,
    mean_t,
    relative_gain_interval,
)
from fedtrade.gain import headline_gain
from fedtrade.outcome import EpisodeOutcome
from fedtrade.report.privacy import Privacy
from fedtrade.report.results import ALL_PARTICIPANTS, SCHEMA_VERSION, Results
from fedtrade.report.verdict import verdict
from fedtrade.secure import PrivateAggregation
from fedtrade.settings import BY_PARTICIPANT, SUMMED, Settings
from fedtrade.summed_scores import SummedScores
from fedtrade.tasks.task import FEDERATED, Evaluation, Headline, Task
from fedtrade.wire import bar_text

__all__ = ["assemble"]

SPARSE_TEST_BARS = 60
"""Origins at least this far apart are taken as independent; nearer ones get a HAC variance."""

FloatArray = NDArray[np.float64]


def assemble(
    settings: Settings,
    task: Task,
    outcomes: Sequence[EpisodeOutcome],
    privacy: Privacy | None = None,
) -> Results:
    """Score all arms over the finished episodes and compare the federated one with each other.

    The episode of the final model has no evaluation; only its failures count.

    Raises
    ------
    ValueError
        If no episode has an evaluation.
    """
    scored = [outcome for outcome in outcomes if outcome.evaluations or outcome.summed]
    if not scored:
        raise ValueError("no episode was scored.")
    arms = _common_arms(scored)
    scores = _DailyScores.gather(scored, arms)
    comparisons = (
        [
            _Comparison.of(task.headline, settings, scores, _share_better(scored, arm), arm)
            for arm in arms
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
            "scores": SUMMED if any(outcome.summed for outcome in scored) else BY_PARTICIPANT,
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
            "privacy": privacy,
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
    notes = []
    is_private = isinstance(settings.aggregation, PrivateAggregation)
    if is_private and settings.scores == BY_PARTICIPANT:
        notes.append(
            "Each participant's daily scores left it in the clear (evaluation.scores="
            f"by_participant), in spite of aggregation={settings.aggregation.mode}."
        )
    counts_alike = settings.strategy.options.get("weights") == "equal"
    if settings.federation.setting == "cold_start" and counts_alike:
        notes.append(
            "All participants count alike (strategy.weights=equal) in a cold start: newcomers, "
            "whom little history keeps near the untrained model, hold back what incumbents learn."
        )
    return tuple(notes)


def _common_arms(outcomes: Sequence[EpisodeOutcome]) -> tuple[str, ...]:
    """Arms that every participant scored in every episode, in the order of the first."""
    found: list[Evaluation | SummedScores] = [e for o in outcomes for e in o.evaluations.values()]
    found += _sums(outcomes)
    common = set(found[0].arms).intersection(*(e.arms for e in found))
    return tuple(arm for arm in found[0].arms if arm in common)


def _sums(outcomes: Iterable[EpisodeOutcome]) -> list[SummedScores]:
    """The sums of scores of the episodes that have one."""
    return [outcome.summed for outcome in outcomes if outcome.summed is not None]


def _share_better(outcomes: Iterable[EpisodeOutcome], arm: str) -> float | None:
    """Of participants in single episodes, better off with the federated model than with an arm.

    None where scores are seen by participant; NaN where it can be told of nobody.
    """
    sums = _sums(outcomes)
    if not sums:
        return None
    n_compared = sum(s.n_compared[s.arms.index(arm)] for s in sums)
    return sum(s.n_better[s.arms.index(arm)] for s in sums) / n_compared if n_compared else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Daily values that are added: of one participant, or of all in one episode.

    `values` and `n_known`, how many are in each, have shape (n_daily, n_arms, n_bars); `bars` says
    where each bar stands in the calendar, `origins` to which origin it belongs.
    """

    bars: NDArray[np.intp]
    origins: NDArray[np.intp]
    values: FloatArray
    n_known: NDArray[np.integer | np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _DailyScores:
    """Daily values of everybody together, and of each participant where they are seen.

    Attributes
    ----------
    calendar : datetime64 of shape (n_bars,)
    mean : float64 of shape (n_daily, n_arms, n_bars)
        Over the participants that have a value at a bar.
    origin_of_bar : int of shape (n_bars,)
    values : mapping of int to float64 of shape (n_daily, n_arms, n_bars_of_participant)
        By participant, its scored bars joined in order of time; empty where scores are summed.
    """

    arms: tuple[str, ...]
    calendar: NDArray[np.datetime64]
    mean: FloatArray
    origin_of_bar: NDArray[np.intp]
    values: Mapping[int, FloatArray]

    @classmethod
    def gather(cls, outcomes: Sequence[EpisodeOutcome], arms: tuple[str, ...]) -> "_DailyScores":
        scored_bars = [e.bars for o in outcomes for e in o.evaluations.values()]
        scored_bars += [summed.bars for summed in _sums(outcomes)]
        calendar = np.unique(np.concatenate(scored_bars))
        origins = sorted({outcome.episode.origin for outcome in outcomes})
        values: dict[int, FloatArray] = {}
        parts = []
        for number in sorted({number for o in outcomes for number in o.evaluations}):
            own = [o for o in outcomes if number in o.evaluations]
            own.sort(key=lambda outcome: outcome.episode.origin)
            scored = [o.evaluations[number] for o in own]
            values[number] = np.concatenate([_of_arms(e.daily, e.arms, arms) for e in scored], 2)
            known = np.isfinite(values[number])
            parts.append(
                _Part(
                    np.concatenate([np.searchsorted(calendar, e.bars) for e in scored]),
                    np.concatenate(
                        [
                            np.full(len(e.bars), origins.index(o.episode.origin))
                            for o, e in zip(own, scored, strict=True)
                        ]
                    ),
                    np.where(known, values[number], 0.0),
                    known,
                )
            )
        parts += [
            _Part(
                np.searchsorted(calendar, summed.bars),
                np.full(len(summed.bars), origins.index(outcome.episode.origin)),
                _of_arms(summed.daily, summed.arms, arms),
                _of_arms(summed.n_known, summed.arms, arms),
            )
            for outcome in outcomes
            if (summed := outcome.summed) is not None
        ]
        return cls(arms, calendar, *_pooled(parts, len(calendar)), values)

    def series(self) -> dict[str, Any]:
        headline = self.mean[0]
        return {"bars": self.calendar, **dict(zip(self.arms, headline, strict=True))}


def _of_arms(values: NDArray[Any], given: Sequence[str], wanted: Sequence[str]) -> NDArray[Any]:
    """Layers (n_daily, n_arms, n_bars) of the arms that are wanted."""
    return values[:, [given.index(arm) for arm in wanted]]


def _pooled(parts: Sequence[_Part], n_bars: int) -> tuple[FloatArray, NDArray[np.intp]]:
    """Mean at each bar of the calendar, and the origin that it belongs to."""
    n_daily, n_arms, _ = parts[0].values.shape
    total, count = np.zeros((2, n_daily, n_arms, n_bars))
    origins = np.zeros(n_bars, dtype=np.intp)
    for part in parts:
        total[:, :, part.bars] += part.values
        count[:, :, part.bars] += part.n_known
        origins[part.bars] = part.origins
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0), origins


class _Comparison(NamedTuple):
    """The federated arm against one other."""

    arm: str
    gain: Interval
    t: float
    gain_of: Mapping[int, float]
    share_better: float | None

    @classmethod
    def of(
        cls,
        headline: Headline,
        settings: Settings,
        scores: _DailyScores,
        share_better: float | None,
        arm: str,
    ) -> "_Comparison":
        federated, other = scores.arms.index(FEDERATED), scores.arms.index(arm)
        ours, theirs = scores.mean[0, federated], scores.mean[0, other]
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
        gain_of = {
            number: headline_gain(headline, values[0, federated], values[0, other])
            for number, values in scores.values.items()
        }
        t = mean_t(by_origin, lags=0 if sparse else None)
        return cls(arm, interval, t, gain_of, share_better)

    def records(self) -> Iterable[dict[str, Any]]:
        gains = np.array([gain for gain in self.gain_of.values() if np.isfinite(gain)])
        values = {
            "gain_vs": float(self.gain.estimate),
            "gain_low_vs": float(self.gain.low),
            "gain_high_vs": float(self.gain.high),
            "t_vs": self.t,
        }
        if self.share_better is None:
            values["share_better_vs"] = float(np.mean(gains > 0.0)) if gains.size else np.nan
            values["worst_gain_vs"] = float(gains.min()) if gains.size else np.nan
        else:
            values["share_of_episodes_better_vs"] = self.share_better
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
            for number in scores.values
        }
        whole = _total([*totals.values(), *(_totals(s, arm) for s in _sums(outcomes))])
        for metric, level, value in task.scores(whole, everyone[:, k]):
            yield _record(arm, metric, level, ALL_PARTICIPANTS, value)
        for number, values in scores.values.items():
            for metric, level, value in task.scores(totals[number], values[:, k]):
                yield _record(arm, metric, level, str(number), value)


def _total(parts: Iterable[FloatArray]) -> FloatArray:
    total: FloatArray = np.sum(list(parts), axis=0)
    return total


def _totals(evaluation: Evaluation | SummedScores, arm: str) -> FloatArray:
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
        "n_scored": outcome.summed.n_scored if outcome.summed else len(outcome.evaluations),
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
            "party": failure.party,
            "reason": failure.reason,
        }


def _path(outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any] | None:
    """The path that was disclosed by the first participant scored in the last episode."""
    if not outcomes[-1].evaluations:
        return None
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
