"""Judge answers by what they say: parts of a federated sum, and scores of an evaluation.

What can be told from one answer alone costs its sender; where only others can tell, such as which
shape a part or which arms an evaluation must have, the majority decides.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError
from fedtrade.tasks.task import Evaluation, ForecastPath, Task
from fedtrade.wire import CONFIG, EpisodeRecord, bars_of
from strategies.exchange import Answer
from strategies.replies import Refusal, read_arms

__all__ = ["Parts", "finished_sum", "read_evaluation", "read_evaluations", "read_sums"]

LARGEST_PART = 1e12
"""No part of a sum is larger: returns and features are of order one, counts are of examples."""

LARGEST_SCORE = 1e18
"""Scores beyond it would drown those of all others."""


class Parts(NamedTuple):
    """Parts of one sum.

    Attributes
    ----------
    values : list of float64 arrays
        All of one shape.
    arms : tuple of str
        That scores are of; empty for a sum of something else.
    refusals : list of Refusal
    """

    values: list[NDArray[np.float64]]
    arms: tuple[str, ...]
    refusals: list[Refusal]


def read_sums(answers: Sequence[Answer]) -> Parts:
    """The usable parts of the shape and the arms that most have, and who sent something else."""
    usable = {
        answer.node_id: answer.arrays["sum"]
        for answer in answers
        if "sum" in answer.arrays and _is_usable(answer.arrays["sum"], LARGEST_PART)
    }
    kinds = {
        a.node_id: (usable[a.node_id].shape, read_arms(a.message))
        for a in answers
        if a.node_id in usable
    }
    common = Counter(kinds.values()).most_common(1)
    kept = {node: part for node, part in usable.items() if kinds[node] == common[0][0]}
    reason = (
        f"its part of the sum is missing, not finite, absurd (beyond {LARGEST_PART:g}), or of "
        "another shape or other arms than others'"
    )
    refusals = [Refusal(answer.node_id, reason) for answer in answers if answer.node_id not in kept]
    values = [part.astype(np.float64) for part in kept.values()]
    return Parts(values, common[0][0][1] if common else (), refusals)


def finished_sum(task: Task, name: str, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is shared with everybody, from the total of one sum.

    A task may mark entries that nobody knows with NaN, but not all of them.

    Raises
    ------
    FedtradeError
        If it is nothing that can be used.
    """
    try:
        with np.errstate(all="ignore"):
            finished = task.finish_sum(name, total)
    except (ValueError, ArithmeticError) as error:
        raise FedtradeError(f"the federated sum {name!r} cannot be used: {error}") from error
    is_known = not finished.size or bool(np.isfinite(finished).any())
    if not np.isfinite(total).all() or np.isinf(finished).any() or not is_known:
        raise FedtradeError(
            f"the federated sum {name!r} is not finite; look at the data of the participants."
        )
    return finished


def read_evaluations(
    answers: Sequence[Answer],
    task: Task,
    models: Set[str],
    episode: EpisodeRecord,
    calendar: NDArray[np.datetime64],
) -> tuple[dict[int, Evaluation], list[Refusal]]:
    """Usable evaluations by node, all of the same arms, and the refusals."""
    evaluations: dict[int, Evaluation] = {}
    refusals: list[Refusal] = []
    for answer in answers:
        try:
            evaluation = read_evaluation(answer, task, models, episode, calendar)
        except (KeyError, ValueError, TypeError) as error:
            refusals.append(Refusal(answer.node_id, f"unusable evaluation: {error}"))
        else:
            evaluations[answer.node_id] = evaluation
    arms = Counter(frozenset(e.arms) for e in evaluations.values()).most_common(1)
    for node in [node for node, e in evaluations.items() if set(e.arms) != arms[0][0]]:
        found = ", ".join(evaluations.pop(node).arms)
        refusals.append(Refusal(node, f"unusable evaluation: other arms than most have: {found}"))
    return evaluations, refusals


def read_evaluation(
    answer: Answer,
    task: Task,
    models: Set[str],
    episode: EpisodeRecord,
    calendar: NDArray[np.datetime64],
) -> Evaluation:
    """Check what a participant says about its scores of these models and of its own.

    Raises
    ------
    ValueError, KeyError, TypeError
        If parts are missing or impossible, or do not fit together.
    """
    config: Mapping[str, Any] = answer.message.content.config_records[CONFIG]
    arms = _read_arms(config, models)
    bars = _read_bars(answer.arrays["bars"], episode, calendar)
    totals, daily = answer.arrays["totals"], answer.arrays["daily"]
    expected = (len(arms), len(task.totals)), (len(task.daily), len(arms), len(bars))
    if (totals.shape, daily.shape) != expected:
        raise ValueError(f"shapes {totals.shape} and {daily.shape} instead of {expected}")
    if not _is_usable(totals, LARGEST_SCORE):
        raise ValueError("totals that are not finite or absurd")
    _check_daily(daily)
    evaluation = Evaluation(
        arms,
        bars,
        totals.astype(np.float64),
        daily.astype(np.float64),
        _read_path(answer.arrays["path"], config, bars) if "path" in answer.arrays else None,
    )
    _check_scores(evaluation, task)
    return evaluation


def _read_arms(config: Mapping[str, Any], models: Set[str]) -> tuple[str, ...]:
    arms = tuple(str(arm) for arm in config["arms"])
    if len(set(arms)) != len(arms):
        raise ValueError(f"arms that repeat: {', '.join(arms)}")
    if not models <= set(arms):
        raise ValueError(f"no scores of {', '.join(sorted(models - set(arms)))}")
    return arms


def _read_bars(
    seconds: NDArray[Any], episode: EpisodeRecord, calendar: NDArray[np.datetime64]
) -> NDArray[np.datetime64]:
    """Scored bars: one or more of the calendar's, in order, after the origin."""
    if seconds.dtype.kind != "f" or seconds.ndim != 1 or not seconds.size:
        raise ValueError("bars that are not one or more times in seconds")
    if not (np.diff(seconds) > 0.0).all():
        raise ValueError("bars that are not strictly increasing")
    if not (episode.origin < seconds[0] and seconds[-1] <= episode.test_end):
        raise ValueError("bars outside of the episode's test period")
    bars = bars_of(seconds)
    if not np.isin(bars, calendar).all():
        raise ValueError("bars that are not in the federation's calendar")
    return bars


def _check_daily(daily: NDArray[Any]) -> None:
    """NaN says that a bar has no value; the headline has one at a bar for all arms or for none.

    Otherwise a participant could leave out the days on which one arm looks bad.
    """
    if daily.dtype.kind != "f" or (np.abs(daily) > LARGEST_SCORE).any():
        raise ValueError("daily scores that are not numbers, or infinite or absurd")
    unknown = np.isnan(daily[0])
    if unknown.all() or (unknown != unknown[0]).any():
        raise ValueError("daily scores that are not finite where other arms have them, or nowhere")


def _read_path(
    values: NDArray[Any], config: Mapping[str, Any], bars: NDArray[np.datetime64]
) -> ForecastPath:
    if values.shape != (3, len(bars)) or values.dtype.kind != "f":
        raise ValueError(f"a path of shape {values.shape} instead of {(3, len(bars))}")
    if not np.isfinite(values).all():
        raise ValueError("a path that is not finite")
    return ForecastPath(str(config["path-asset"]), float(config["path-level"]), bars, *values)


def _check_scores(evaluation: Evaluation, task: Task) -> None:
    """Compute every arm's metrics once, because the report will."""
    for k, arm in enumerate(evaluation.arms):
        try:
            task.scores(evaluation.totals[k], evaluation.daily[:, k])
        except Exception as error:  # a task's arithmetic on a stranger's numbers
            raise ValueError(f"no metrics follow from its scores of {arm}: {error}") from error


def _is_usable(values: NDArray[Any], largest: float) -> bool:
    """Whether these are floating-point numbers, all finite and none absurdly large."""
    # NaN is not less than or equal to anything.
    return values.dtype.kind == "f" and bool((np.abs(values) <= largest).all())
