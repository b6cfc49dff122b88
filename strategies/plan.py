"""The episodes of a run: at which origins, in which arrangement of the participants."""

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import DataError
from fedtrade.market import rolling_origins
from fedtrade.settings import Settings
from fedtrade.wire import EpisodeRecord

__all__ = ["FINAL_FOLD", "episode_calendar", "plan"]

FINAL_FOLD = -1
"""The fold of the model that is kept: trained on all history up to the last bar, not scored."""
SMALL = (120, 60, 1)
"""Bars of history, test bars and origins of federation=small evaluation=short."""


def plan(
    settings: Settings, calendar: NDArray[np.datetime64], horizon_bars: int
) -> tuple[EpisodeRecord, ...]:
    """Episodes in order, earliest origin first, the final model's last.

    Labels end at the origin, so the purge needed is the horizon less one bar.

    Raises
    ------
    DataError
        If the calendar is too short for one origin.
    """
    evaluation, federation = settings.evaluation, settings.federation
    n_skip = horizon_bars - 1 + evaluation.embargo_bars
    try:
        origins = rolling_origins(
            calendar,
            test_bars=evaluation.test_bars,
            min_train_bars=federation.longest_history_bars,
            n_origins=evaluation.n_origins,
            purge_bars=horizon_bars - 1,
            embargo_bars=evaluation.embargo_bars,
        )
    except DataError as error:
        history = "incumbent_bars" if federation.n_folds > 1 else "history_bars"
        raise DataError(
            f"{str(error).rstrip('.')} (evaluation.test_bars={evaluation.test_bars}, "
            f"evaluation.n_origins={evaluation.n_origins}, "
            f"federation.{history}={federation.longest_history_bars})"
            f"{'' if _is_small(settings) else '; try federation=small evaluation=short'}."
        ) from None
    spans = [
        (fold, window.origin, window.test_end, n_skip)
        for window in origins
        for fold in range(federation.n_folds)
    ]
    spans.append((FINAL_FOLD, calendar[-1], calendar[-1], 0))
    return tuple(
        EpisodeRecord(number, fold, _seconds(origin), _seconds(end), skip)
        for number, (fold, origin, end, skip) in enumerate(spans)
    )


def episode_calendar(
    settings: Settings, calendar: NDArray[np.datetime64], episode: EpisodeRecord
) -> NDArray[np.datetime64]:
    """The bars that matter to an episode: from the longest history's start to its last bar."""
    origin = int(np.searchsorted(calendar, np.datetime64(episode.origin, "s"), "right"))
    end = int(np.searchsorted(calendar, np.datetime64(episode.test_end, "s"), "right"))
    return calendar[origin - settings.federation.longest_history_bars : end]


def _is_small(settings: Settings) -> bool:
    """Whether the windows are no longer than those of federation=small evaluation=short."""
    evaluation = settings.evaluation
    lengths = (
        settings.federation.longest_history_bars,
        evaluation.test_bars,
        evaluation.n_origins or 1,
    )
    return all(n <= small for n, small in zip(lengths, SMALL, strict=True))


def _seconds(bar: np.datetime64) -> int:
    return int(bar.astype("datetime64[s]").astype(np.int64))
