"""Moments and bar lengths: the words in which a user names a time or a spacing."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BarTime", "bar_length", "first_second", "last_second", "stamp", "usual_bar"]

BarTime: TypeAlias = np.datetime64 | datetime | date | str | int
"""A moment in UTC. One without a clock time (`"2017-06-30"`, `"2017-06"`, 2017) means all of it."""

_SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}


def bar_length(bar: str) -> np.timedelta64:
    """Return the length of a bar such as `"1D"`, `"1h"`, `"5min"`, `"1s"` or `"1W"` in seconds.

    Raises
    ------
    ValueError
        If `bar` is not a positive whole number followed by s, min, h, D or W.
    """
    match = re.fullmatch(r"([1-9]\d*)(s|min|h|D|W)", bar)
    if match is None:
        raise ValueError(
            f"bar must be a whole number and one of s, min, h, D, W, such as '1D', got bar={bar!r}."
        )
    return np.timedelta64(int(match[1]) * _SECONDS[match[2]], "s")


def usual_bar(bars: NDArray[np.datetime64]) -> str:
    """Name the median spacing of at least two increasing bars, in the largest whole unit.

    The median ignores nights, weekends and holidays as long as most bars follow their
    predecessor at once.
    """
    if bars.size < 2:
        raise ValueError(f"the spacing of bars needs at least two of them, got {bars.size}.")
    steps = np.diff(bars.astype("datetime64[s]")).astype(np.int64)
    seconds = int(np.quantile(steps, 0.5, method="lower"))
    unit = max(
        (unit for unit in _SECONDS if seconds % _SECONDS[unit] == 0), key=_SECONDS.__getitem__
    )
    return f"{seconds // _SECONDS[unit]}{unit}"


def first_second(moment: BarTime) -> np.datetime64:
    """Return the first second of the moment or period that `moment` names."""
    first: np.datetime64 = _parsed(moment).astype("datetime64[s]")
    return first


def last_second(moment: BarTime) -> np.datetime64:
    """Return the last second of the moment or period that `moment` names."""
    period = _parsed(moment)
    first: np.datetime64 = period.astype("datetime64[s]")
    following: np.datetime64 = (period + np.timedelta64(1)).astype("datetime64[s]")
    # A moment finer than a second is its own last second: nothing to add.
    return following - np.timedelta64(1, "s") if following > first else first


def stamp(moment: np.datetime64 | datetime) -> str:
    """Write a moment for a message, without its clock time if that is midnight."""
    second = np.datetime64(moment).astype("datetime64[s]")
    return str(second).removesuffix("T00:00:00")


def _parsed(moment: BarTime) -> np.datetime64:
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    if isinstance(moment, int):
        moment = str(moment)
    try:
        # numpy reads an offset as deprecated noise, so a text with one is refused.
        if isinstance(moment, str) and re.search(r"[Zz]$|:\d.*[+-]\d", moment):
            raise ValueError("times are in UTC and carry no offset")
        period = np.datetime64(moment)
    except ValueError as error:
        raise ValueError(
            f"a time must look like 2017-06-30 or 2017-06-30T15:00 (UTC), got {moment!r}."
        ) from error
    if np.isnat(period):
        raise ValueError("a time must not be NaT.")
    return period
