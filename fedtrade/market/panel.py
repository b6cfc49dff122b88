"""Prices of several assets on one calendar: the value that the whole market room passes around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import DataError
from fedtrade.market.bar_time import BarTime, bar_length, first_second, last_second, stamp

__all__ = ["OHLV_FIELDS", "Panel"]

FloatArray: TypeAlias = NDArray[np.float64]

OHLV_FIELDS = ("open", "high", "low", "volume")
"""What a panel may hold beside the close, in this order."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Prices of several assets on one calendar (UTC).

    The arrays are read-only; a selection shares memory with the panel that it came from.

    Attributes
    ----------
    bars : datetime64[s] of shape (n_bars,)
        Each bar's label, strictly increasing: the date at midnight for daily data, otherwise the
        time stamp that the source gives.
    assets : tuple of str
        Unique names, one a column.
    close : float64 of shape (n_bars, n_assets)
        Positive prices. NaN only before an asset's first and after its last price; a column may
        be all NaN, as in a stretch of time that ends before an asset was listed.
    bar : str
        The bar length, see `bar_length`. Real calendars have nights and weekends, so it is a name
        for the spacing and not a promise about it.
    ohlv : mapping of str to float64 of shape (n_bars, n_assets), or None
        Any of `OHLV_FIELDS`: open, high and low are positive, volume is not negative; NaN where
        unknown. On the same scale (adjusted or not) as `close`.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or a name of `ohlv` or the bar length is unknown.
    DataError
        If bars are not strictly increasing, assets repeat, or a price cannot be one.
    """

    bars: NDArray[np.datetime64]
    assets: tuple[str, ...]
    close: FloatArray
    bar: str = "1D"
    ohlv: Mapping[str, FloatArray] | None = None

    def __post_init__(self) -> None:
        bars = _read_only(np.asarray(self.bars, dtype="datetime64[s]"))
        close = _read_only(np.asarray(self.close, dtype=np.float64))
        assets = tuple(self.assets)
        bar_length(self.bar)
        _check_calendar(bars)
        _check_assets(assets)
        _check_shape("close", close, (bars.size, len(assets)))
        _check_prices("close", close, bars, assets)
        _check_gaps(close, bars, assets)
        object.__setattr__(self, "bars", bars)
        object.__setattr__(self, "assets", assets)
        object.__setattr__(self, "close", close)
        if self.ohlv is not None:
            object.__setattr__(self, "ohlv", _checked_ohlv(self.ohlv, bars, assets))

    def __reduce__(self) -> tuple[type[Panel], tuple[object, ...]]:
        # A mapping proxy cannot be pickled or deep-copied; a dict can, and is wrapped again.
        ohlv = None if self.ohlv is None else dict(self.ohlv)
        return Panel, (self.bars, self.assets, self.close, self.bar, ohlv)

    def __repr__(self) -> str:
        span = f"{stamp(self.bars[0])} to {stamp(self.bars[-1])}" if self.n_bars else "empty"
        fields = ", ".join(("close", *(self.ohlv or ())))
        return f"Panel({self.n_assets} assets, {self.n_bars} bars of {self.bar}, {span}; {fields})"

    @property
    def n_bars(self) -> int:
        """The number of bars."""
        return self.bars.size

    @property
    def n_assets(self) -> int:
        """The number of assets."""
        return len(self.assets)

    @property
    def n_prices(self) -> NDArray[np.intp]:
        """How many bars have a price of each asset, shape (n_assets,)."""
        counts: NDArray[np.intp] = np.isfinite(self.close).sum(axis=0)
        return counts

    def returns(self) -> FloatArray:
        """Simple returns `close[t] / close[t - 1] - 1` as fractions, shape (n_bars, n_assets).

        NaN in the first row, at an asset's first price and wherever `close` is NaN.
        """
        out = np.full(self.close.shape, np.nan)
        out[1:] = self.close[1:] / self.close[:-1] - 1.0
        return out

    def select(self, assets: Sequence[str]) -> Panel:
        """Keep these assets, in this order.

        Raises
        ------
        DataError
            If one is unknown or named twice.
        """
        position = {asset: column for column, asset in enumerate(self.assets)}
        unknown = [asset for asset in assets if asset not in position]
        if unknown:
            raise DataError(
                f"no asset {', '.join(map(repr, unknown))} in the data; "
                f"it holds {_shortened(self.assets)}."
            )
        columns = [position[asset] for asset in assets]
        _check_assets(tuple(assets))
        return self._part(slice(None), columns, tuple(assets))

    def rows(self, start: int | None = None, stop: int | None = None) -> Panel:
        """Keep the bars at positions `start` to `stop - 1`, as `sequence[start:stop]` does."""
        return self._part(slice(start, stop), slice(None), self.assets)

    def _part(self, rows: slice, columns: list[int] | slice, assets: tuple[str, ...]) -> Panel:
        """Contiguous bars of some assets: no check can fail, and checking costs a millisecond."""

        def cut(values: FloatArray) -> FloatArray:
            part = values[rows, columns]
            part.flags.writeable = False
            return part

        ohlv = self.ohlv and MappingProxyType({k: cut(v) for k, v in self.ohlv.items()})
        part = object.__new__(Panel)
        values = (self.bars[rows], assets, cut(self.close), self.bar, ohlv)
        for field, value in zip(fields(Panel), values, strict=True):
            object.__setattr__(part, field.name, value)
        return part

    def until(self, bar_time: BarTime) -> Panel:
        """Keep the bars up to and including `bar_time` (all of that day if it is a date)."""
        return self.rows(None, int(np.searchsorted(self.bars, last_second(bar_time), "right")))

    def since(self, bar_time: BarTime) -> Panel:
        """Keep the bars from `bar_time` on, including it."""
        return self.rows(int(np.searchsorted(self.bars, first_second(bar_time), "left")), None)

    def tail(self, n_bars: int) -> Panel:
        """Keep the last `n_bars` bars, or all if there are fewer."""
        if n_bars < 0:
            raise ValueError(f"n_bars must not be negative, got n_bars={n_bars}.")
        return self.rows(max(self.n_bars - n_bars, 0), None)

    def equals(self, other: Panel) -> bool:
        """Whether both hold the same values; NaN equals NaN."""
        mine, theirs = dict(self.ohlv or {}), dict(other.ohlv or {})
        return (
            self.assets == other.assets
            and self.bar == other.bar
            and np.array_equal(self.bars, other.bars)
            and np.array_equal(self.close, other.close, equal_nan=True)
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if nobody can write through it, else a read-only copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def _check_calendar(bars: NDArray[np.datetime64]) -> None:
    if bars.ndim != 1:
        raise ValueError(f"bars must have shape (n_bars,), got shape {bars.shape}.")
    if np.isnat(bars).any():
        raise DataError(f"bar {int(np.isnat(bars).argmax())} has no time (NaT).")
    steps = np.diff(bars) > np.timedelta64(0, "s")
    if not steps.all():
        at = int(steps.argmin())
        raise DataError(
            f"bars must be strictly increasing, but {stamp(bars[at])} is followed by "
            f"{stamp(bars[at + 1])}."
        )


def _check_assets(assets: tuple[str, ...]) -> None:
    if len(set(assets)) < len(assets):
        repeated = next(asset for asset in assets if assets.count(asset) > 1)
        raise DataError(f"asset {repeated!r} is named more than once; names must be unique.")


def _check_shape(name: str, values: FloatArray, shape: tuple[int, int]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have shape (n_bars, n_assets) = {shape}, got {values.shape}")


def _check_prices(
    name: str, values: FloatArray, bars: NDArray[np.datetime64], assets: tuple[str, ...]
) -> None:
    """Refuse infinite and non-positive values (a volume may be zero)."""
    too_low = values < 0 if name == "volume" else values <= 0
    bad = too_low | np.isinf(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        rule = "finite and not negative" if name == "volume" else "positive and finite"
        raise DataError(
            f"{name} of {assets[column]} at {stamp(bars[row])} is {values[row, column]:g}; "
            f"it must be {rule}."
        )


def _check_gaps(close: FloatArray, bars: NDArray[np.datetime64], assets: tuple[str, ...]) -> None:
    """Refuse a missing close between two prices of an asset."""
    priced = np.isfinite(close)
    started = np.logical_or.accumulate(priced, axis=0)
    goes_on = np.logical_or.accumulate(priced[::-1], axis=0)[::-1]
    gaps = started & goes_on & ~priced
    if gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise DataError(
            f"close of {assets[column]} is missing at {stamp(bars[row])}, between two prices; "
            "fill it or drop the bar."
        )


def _checked_ohlv(
    ohlv: Mapping[str, FloatArray], bars: NDArray[np.datetime64], assets: tuple[str, ...]
) -> Mapping[str, FloatArray]:
    """The fields in their usual order, each checked, float64 and read-only."""
    unknown = sorted(set(ohlv) - set(OHLV_FIELDS))
    if unknown:
        raise ValueError(f"ohlv may hold {', '.join(OHLV_FIELDS)}, got {unknown[0]!r}.")
    checked = {}
    for name in OHLV_FIELDS:
        if name in ohlv:
            values = _read_only(np.asarray(ohlv[name], dtype=np.float64))
            _check_shape(name, values, (bars.size, len(assets)))
            _check_prices(name, values, bars, assets)
            checked[name] = values
    return MappingProxyType(checked)


def _shortened(names: Sequence[str], limit: int = 12) -> str:
    """The names with commas, cut after `limit` of them."""
    more = len(names) - limit
    shown = ", ".join(names[:limit])
    return f"{shown} and {more} more" if more > 0 else shown
