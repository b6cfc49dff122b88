"""When training ends and testing begins: rolling origins that everyone shares.

Walk-forward testing with a purge and an embargo, after López de Prado (2018), "Advances in
Financial Machine Learning", chapter 7, sections 7.4.1 and 7.4.2. Reading one window in bars::

    ... training | purge | embargo | test window |
               ^ origin              ^ test_start ^ test_end

- *Training* uses nothing after the origin: neither features nor labels, so every training label
  ends at the origin or earlier.
- *Purge*: bars between the end of the last training label and the first test bar. With it at
  least as long as the horizon of the labels less one bar, no outcome that is scored shares a
  return with one that was trained on.
- *Embargo*: further bars that are not scored, for features with a memory. In the book it drops
  training bars that follow a test window. In walk-forward no training bar follows its own test
  window, so the only border where serial correlation can leak is the one before it; there the
  embargo widens the purge. Bars tested earlier are history to later origins and may be trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import DataError
from fedtrade.market.bar_time import BarTime, last_second
from fedtrade.market.panel import Panel

__all__ = ["RollingOrigin", "history_window", "rolling_origins"]


class RollingOrigin(NamedTuple):
    """The last bar of training, and the first and last bar of its test window (inclusive)."""

    origin: np.datetime64
    test_start: np.datetime64
    test_end: np.datetime64


def rolling_origins(
    bars: NDArray[np.datetime64],
    *,
    test_bars: int,
    min_train_bars: int,
    n_origins: int | None = None,
    purge_bars: int = 0,
    embargo_bars: int = 0,
) -> list[RollingOrigin]:
    """Place test windows of `test_bars` bars side by side, the last one at the end of the data.

    Parameters
    ----------
    bars : datetime64 of shape (n_bars,)
        The calendar of the whole federation.
    test_bars : int
        The length of a test window and the spacing of the origins.
    min_train_bars : int
        Bars needed up to and including the first origin.
    n_origins : int or None
        How many windows: evenly spread over those that fit, the first and the last among them
        (the last alone for 1). None takes all.
    purge_bars, embargo_bars : int
        Unscored bars between an origin and its test window, see the head of this module.

    Returns
    -------
    list of RollingOrigin
        Earliest first.

    Raises
    ------
    DataError
        If fewer windows fit than are asked for; it names the bars needed and available.
    """
    least = {"test_bars": 1, "min_train_bars": 1, "purge_bars": 0, "embargo_bars": 0}
    for name, value in zip(
        least, (test_bars, min_train_bars, purge_bars, embargo_bars), strict=True
    ):
        if value < least[name]:
            raise ValueError(f"{name} must be at least {least[name]}, got {name}={value}.")
    if n_origins is not None and n_origins < 1:
        raise ValueError(f"n_origins must be at least 1, got n_origins={n_origins}.")

    gap = purge_bars + embargo_bars
    n_windows = max(bars.size - min_train_bars - gap, 0) // test_bars
    wanted = n_origins or 1
    if n_windows < wanted:
        windows = "1 test window" if wanted == 1 else f"{wanted} test windows"
        raise DataError(
            f"{windows} of {_n_bars(test_bars)} after {_n_bars(min_train_bars)} of training and "
            f"{gap} of purge and embargo {'needs' if wanted == 1 else 'need'} "
            f"{_n_bars(min_train_bars + gap + wanted * test_bars)}, but the data has {bars.size}; "
            "use more data, shorter windows or fewer origins."
        )
    first = bars.size - n_windows * test_bars
    starts = first + test_bars * _spread(n_windows, n_origins)
    return [
        RollingOrigin(bars[start - 1 - gap], bars[start], bars[start + test_bars - 1])
        for start in starts
    ]


def history_window(
    panel: Panel,
    *,
    origin: BarTime,
    history_bars: int,
    test_end: BarTime,
    calendar: NDArray[np.datetime64] | None = None,
) -> Panel:
    """Keep exactly `history_bars` bars before (and including) the origin, and all up to `test_end`.

    Parameters
    ----------
    panel : Panel
        What a participant holds.
    origin, test_end : time
        The last bar of training and the last bar to keep.
    history_bars : int
        Counted on the calendar of the federation, so that all participants with the same number
        begin on the same date, whatever the listing dates of their assets.
    calendar : datetime64 of shape (n_calendar_bars,) or None
        The bars of the whole federation; None if the panel has them all.

    Raises
    ------
    DataError
        If the calendar holds fewer bars up to the origin; it names both numbers.
    """
    if history_bars < 1:
        raise ValueError(f"history_bars must be at least 1, got history_bars={history_bars}.")
    bars = panel.bars if calendar is None else calendar
    available = int(np.searchsorted(bars, last_second(origin), "right"))
    if available < history_bars:
        raise DataError(
            f"{_n_bars(history_bars)} of history are needed up to the origin {origin}, but the "
            f"data has {available}; use a later origin, a shorter history or more data, "
            "or try federation=small evaluation=short."
        )
    return panel.since(bars[available - history_bars]).until(test_end)


def _n_bars(count: int) -> str:
    return f"{count} bar{'' if count == 1 else 's'}"


def _spread(n_available: int, n_wanted: int | None) -> NDArray[np.intp]:
    """Evenly spread positions among `n_available`, both ends included."""
    if n_wanted is None:
        return np.arange(n_available)
    if n_wanted == 1:
        return np.array([n_available - 1])
    return np.arange(n_wanted) * (n_available - 1) // (n_wanted - 1)
