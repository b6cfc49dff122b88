"""From a long table to a panel: every doubt is an error or a repair that is stated.

Repairs are stated through the logger `fedtrade.market.repair`, one sentence each: at level
WARNING where prices were made up or left out, at level INFO where nothing was lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market.bar_time import bar_length, stamp, usual_bar
from fedtrade.market.panel import OHLV_FIELDS, Panel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GapRule", "panel_from_table"]

_log = logging.getLogger(__name__)

_MAX_FILLED_SHARE = 0.10
"""An asset with more holes than this lives on another calendar than the others."""


@dataclass(frozen=True, slots=True)
class GapRule:
    """What to do where an asset has no price between two of its prices.

    Attributes
    ----------
    gaps : "fill", "drop" or "error"
        Carry the last price forward; leave the bar out for all assets; refuse.
    max_gap : int
        The most bars in a row that are filled.
    max_pause_days : float
        The longest time between two bars of the calendar (weekends and holidays are shorter);
        bars of a week or more may be three of them apart whatever it says.
    """

    gaps: str = "fill"
    max_gap: int = 5
    max_pause_days: float = 15.0

    def __post_init__(self) -> None:
        if self.gaps not in ("fill", "drop", "error"):
            raise ConfigurationError(f"data.gaps must be fill, drop or error, got {self.gaps!r}.")
        if self.max_gap < 0:
            raise ConfigurationError(f"data.max_gap must not be negative, got {self.max_gap}.")
        if self.max_pause_days <= 0:
            raise ConfigurationError(
                f"data.max_pause_days must be positive, got {self.max_pause_days}."
            )


def panel_from_table(
    table: pd.DataFrame, *, source: str, bar: str | None = None, rule: GapRule | None = None
) -> Panel:
    """Check, sort and complete a long table.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns asset, bar, close and any of open, high, low, volume, see `layout.long_table`.
        Prices that stood in one row of the file have one index.
    source : str
        The file, for messages.
    bar : str or None
        The bar length; None takes the usual spacing.
    rule : GapRule or None
        What to do about gaps, None for its defaults.

    Raises
    ------
    DataError
        If the prices cannot be used; it names file, asset, time, value and remedy.
    """
    rule = rule or GapRule()
    table = _with_prices(table, source)
    _check_values(table, source)
    table = _sorted_and_unique(table, source)
    panel_fields, bars, assets = _matrices(table)
    panel_fields, bars = _without_gaps(panel_fields, bars, assets, source, rule)
    close = panel_fields.pop("close")
    if bars.size < 2:
        raise DataError(f"{source}: only {bars.size} bar of prices; at least 2 are needed.")
    bar = bar or usual_bar(bars)
    _check_pauses(bars, bar, source, rule)
    _check_variance(close, assets, source)
    return Panel(bars, assets, close, bar, panel_fields or None)


def _with_prices(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows with a price; assets with fewer than two prices are left out."""
    priced = table[table["close"].notna()]
    counts = priced.groupby("asset", sort=False)["close"].size()
    counts = counts.reindex(table["asset"].unique(), fill_value=0)
    short = [str(asset) for asset in counts.index[counts < 2]]
    if len(short) == len(counts):
        raise DataError(
            f"{source}: no asset has two prices in the chosen period; "
            "choose a longer one with data.start and data.end, or give a file with more rows."
        )
    if short:
        _log.warning(
            "%s: left out %s, with fewer than two prices in the chosen period.",
            source,
            ", ".join(short),
        )
        priced = priced[~priced["asset"].isin(short)]
    return priced


def _check_values(table: pd.DataFrame, source: str) -> None:
    """Refuse prices and volumes that cannot be; a zero open, high or low counts as unknown."""
    for name in ("close", *OHLV_FIELDS):
        if name not in table:
            continue
        values = table[name].to_numpy()
        bad = np.isinf(values) | (values < 0) | ((values == 0) & (name == "close"))
        if bad.any():
            row = table.iloc[int(bad.argmax())]
            rule = "finite and not negative" if name == "volume" else "positive and finite"
            raise DataError(
                f"{source}: {name} of {row['asset']} at {stamp(row['bar'])} is {row[name]:g}; "
                f"it must be {rule}: correct the value or leave the cell empty."
            )
    if "high" in table and "low" in table:
        high, low = table["high"].to_numpy(), table["low"].to_numpy()
        swapped = (high > 0) & (low > high * (1 + 1e-9))
        if swapped.any():
            row = table.iloc[int(swapped.argmax())]
            raise DataError(
                f"{source}: high of {row['asset']} at {stamp(row['bar'])} is {row['high']:g}, "
                f"below its low {row['low']:g}; correct the row or swap the columns."
            )


def _sorted_and_unique(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows by time within each asset, each time once."""
    ordered = table.sort_values("asset", kind="stable")
    same = ordered["asset"].to_numpy()[1:] == ordered["asset"].to_numpy()[:-1]
    steps = np.diff(ordered["bar"].to_numpy()).astype(np.int64)
    if (same & (steps < 0)).any():
        _log.info("%s: sorted the rows by time.", source)
    repeated = table.duplicated(["asset", "bar"], keep="first")
    if not repeated.any():
        return table
    conflicting = table.duplicated(["asset", "bar"], keep=False) & ~table.duplicated(keep=False)
    if conflicting.any():
        row = table[conflicting].iloc[0]
        twins = table[(table["asset"] == row["asset"]) & (table["bar"] == row["bar"])]
        closes = " and ".join(f"{value:g}" for value in twins["close"].iloc[:2])
        raise DataError(
            f"{source}: {row['asset']} has {len(twins)} different rows at {stamp(row['bar'])} "
            f"(close {closes}); keep one of them."
        )
    n_rows = table.index[repeated.to_numpy()].nunique()
    _log.warning("%s: left out %d repeated %s.", source, n_rows, "row" if n_rows == 1 else "rows")
    return table[~repeated]


def _matrices(
    table: pd.DataFrame,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.datetime64], tuple[str, ...]]:
    """Spread the rows over a calendar of all times, NaN where there is none."""
    import pandas as pd

    bars, rows = np.unique(table["bar"].to_numpy().astype("datetime64[s]"), return_inverse=True)
    columns, assets = pd.factorize(table["asset"])
    fields = {}
    for name in ("close", *OHLV_FIELDS):
        if name in table:
            values = table[name].to_numpy(dtype=np.float64)
            if name in ("open", "high", "low") and (values == 0).any():
                _log.warning(
                    "%d zero values of %s are taken as unknown.", (values == 0).sum(), name
                )
                values = np.where(values == 0, np.nan, values)
            fields[name] = np.full((bars.size, len(assets)), np.nan)
            fields[name][rows, columns] = values
    return fields, bars, tuple(str(asset) for asset in assets)


def _without_gaps(
    fields: dict[str, NDArray[np.float64]],
    bars: NDArray[np.datetime64],
    assets: tuple[str, ...],
    source: str,
    rule: GapRule,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.datetime64]]:
    """Treat missing closes between an asset's first and last price as the rule says."""
    priced = np.isfinite(fields["close"])
    position = np.arange(bars.size)[:, None]
    before = np.maximum.accumulate(np.where(priced, position, -1), axis=0)
    goes_on = np.logical_or.accumulate(priced[::-1], axis=0)[::-1]
    missing = (before >= 0) & goes_on & ~priced
    if not missing.any():
        return fields, bars
    if rule.gaps == "drop":
        kept = ~missing.any(axis=1)
        _log.warning(
            "%s: left out %d of %d bars on which an asset has no price.",
            source,
            int((~kept).sum()),
            bars.size,
        )
        return {name: values[kept] for name, values in fields.items()}, bars[kept]

    lengths = np.where(missing, position - before, 0)
    _check_gaps(lengths, missing, priced, bars, assets, source, rule)
    rows, columns = np.nonzero(missing)
    carried = fields["close"][before[rows, columns], columns]
    for name, values in fields.items():
        values[rows, columns] = 0.0 if name == "volume" else carried
    affected = np.unique(columns)
    worst = np.unravel_index(int(lengths.argmax()), lengths.shape)
    _log.warning(
        "%s: carried the last price forward over %d missing prices of %d assets "
        "(the longest gap: %s, %d bars up to %s).",
        source,
        rows.size,
        affected.size,
        assets[worst[1]],
        lengths[worst],
        stamp(bars[worst[0]]),
    )
    return fields, bars


def _check_gaps(
    lengths: NDArray[np.intp],
    missing: NDArray[np.bool_],
    priced: NDArray[np.bool_],
    bars: NDArray[np.datetime64],
    assets: tuple[str, ...],
    source: str,
    rule: GapRule,
) -> None:
    """Refuse gaps that are longer or more frequent than an honest file has."""
    last, column = np.unravel_index(int(lengths.argmax()), lengths.shape)
    length = int(lengths[last, column])
    limit = 0 if rule.gaps == "error" else rule.max_gap
    if length > limit:
        raise DataError(
            f"{source}: {assets[column]} has no price on {length} bar(s) from "
            f"{stamp(bars[last - length + 1])} to {stamp(bars[last])}, more than the {limit} "
            "allowed; add the prices, leave these bars out with data.gaps=drop, "
            f"or {'fill them with data.gaps=fill' if limit == 0 else 'raise data.max_gap'}."
        )
    n_missing = missing.sum(axis=0)
    share = n_missing / (n_missing + priced.sum(axis=0))
    sparse = (n_missing > rule.max_gap) & (share > _MAX_FILLED_SHARE)
    if sparse.any():
        rare = int(np.where(sparse, share, 0).argmax())
        raise DataError(
            f"{source}: {assets[rare]} has no price on {share[rare]:.0%} of the bars between "
            "its first and last one, so its calendar is not that of the other assets; keep the "
            "common bars with data.gaps=drop, or choose assets of one market with data.assets."
        )


def _check_pauses(bars: NDArray[np.datetime64], bar: str, source: str, rule: GapRule) -> None:
    """Refuse a calendar with a stretch in which no asset has a price."""
    day = np.timedelta64(1, "D")
    longest = rule.max_pause_days
    if bar_length(bar) >= 7 * day:
        longest = max(longest, 3 * bar_length(bar) / day)
    steps = np.diff(bars) / day
    if (steps > longest).any():
        at = int((steps > longest).argmax())
        days = steps[at]
        raise DataError(
            f"{source}: no prices between {stamp(bars[at])} and {stamp(bars[at + 1])} "
            f"({days:.0f} days); add them, choose a period with data.start and data.end, "
            f"or allow it with data.max_pause_days={int(np.ceil(days))}."
        )


def _check_variance(close: NDArray[np.float64], assets: tuple[str, ...], source: str) -> None:
    constant = np.nanmax(close, axis=0) == np.nanmin(close, axis=0)
    if constant.any():
        column = int(constant.argmax())
        raise DataError(
            f"{source}: the price of {assets[column]} never changes "
            f"({np.nanmax(close[:, column]):g}), so it has no variance; "
            "leave it out by naming the others in data.assets."
        )
