"""What the columns of a price file mean: any accepted layout as one long table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market.bar_time import stamp
from fedtrade.market.timestamps import utc_times

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LAYOUTS", "MISSING", "column_names", "long_table"]

LAYOUTS = ("long", "single", "wide")
"""A row an asset and time; one asset without a column that names it; a column an asset."""

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "-nan", "null", "NULL", "None", "none", "-", ".")
"""Texts that stand for a missing number."""

_SYNONYMS = {
    "date": ("date", "datetime", "timestamp", "time", "day", "index", ""),
    "asset": ("symbol", "ticker", "asset", "instrument", "security", "isin", "name"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj", "closeadjusted"),
    "close": ("close", "closelast", "closeprice", "price", "last"),
    "open": ("open", "openprice"),
    "high": ("high", "highprice"),
    "low": ("low", "lowprice"),
    "volume": ("volume", "vol"),
}


def column_names(columns: Sequence[str]) -> dict[str, str]:
    """Map the roles date, asset, adj_close, close, open, high, low, volume to column names.

    Case, spaces and punctuation do not matter; roles that no column plays are left out.
    """
    plain = ["".join(c for c in name.lower() if c.isalnum()) for name in columns]
    plain = ["" if name.startswith("unnamed") else name for name in plain]
    roles = {}
    for role, accepted in _SYNONYMS.items():
        found = [name for name in accepted if name in plain]
        if found:
            roles[role] = columns[plain.index(found[0])]
    # A nameless column can be an index that holds the dates, and only the first one is.
    if "date" in roles and not plain[columns.index(roles["date"])] and roles["date"] != columns[0]:
        del roles["date"]
    return roles


def long_table(
    frame: pd.DataFrame,
    *,
    source: str,
    asset: str,
    layout: str | None = None,
    adjusted: bool = True,
    timezone: str | None = None,
    date_format: str | None = None,
    decimal: str | None = None,
) -> pd.DataFrame:
    """Return the columns asset, bar, close and those of open, high, low, volume that there are.

    Parameters
    ----------
    frame : pandas.DataFrame
        As read: unique column names, numbers or texts.
    source : str
        The file, for messages.
    asset : str
        What to call the asset of a file in the layout `single`.
    layout : str or None
        One of `LAYOUTS`, or None to tell from the columns: `long` if one names the asset,
        `single` if there is a close or adjusted close, else `wide`.
    adjusted : bool
        Whether to prefer the adjusted close; open, high and low are then scaled alike.
    decimal : str or None
        The decimal mark of numbers that are texts; None where the format has no such mark.

    Raises
    ------
    DataError
        If a column is missing, or a time or number cannot be read.
    """
    import pandas as pd

    columns = [str(name) for name in frame.columns]
    frame = frame.set_axis(columns, axis="columns")
    roles = column_names(columns)
    layout = layout or _layout(roles)
    if layout not in LAYOUTS:
        raise ConfigurationError(
            f"data.layout must be one of {', '.join(LAYOUTS)}, got {layout!r}."
        )
    if "date" not in roles:
        raise _missing(source, "date", columns)
    if frame.empty:
        raise DataError(f"{source}: no rows under the header; give a file with prices.")
    times = utc_times(
        _time_column(frame, roles), source=source, timezone=timezone, date_format=date_format
    )
    if layout == "wide":
        return _from_wide(frame, roles["date"], times, source, decimal)

    if layout == "long":
        names = _asset_column(frame, roles, source, columns)
    else:
        names = np.full(len(frame), asset, dtype=object)

    price = next((r for r in _price_roles(adjusted) if r in roles), None)
    if price is None:
        raise _missing(source, "close", columns)
    kept = [role for role in ("open", "high", "low", "volume") if role in roles]
    numbers = {
        role: _numbers(frame[roles[role]], source, _named(names, times), decimal)
        for role in {price, *kept, *(["close"] if "close" in roles else [])}
    }
    if price == "adj_close" and "close" in numbers:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = numbers["adj_close"] / numbers["close"]
        for role in set(kept) - {"volume"}:
            numbers[role] = numbers[role] * factor
    values = {"close": numbers[price]} | {role: numbers[role] for role in kept}
    return pd.DataFrame({"asset": names, "bar": times} | values)


def _layout(roles: dict[str, str]) -> str:
    if "asset" in roles:
        return "long"
    return "single" if {"close", "adj_close"} & roles.keys() else "wide"


def _price_roles(adjusted: bool) -> tuple[str, ...]:
    return ("adj_close", "close") if adjusted else ("close", "adj_close")


def _missing(source: str, role: str, columns: Sequence[str]) -> DataError:
    accepted = ", ".join(filter(None, _SYNONYMS[role]))
    return DataError(
        f"{source}: no column {role!r} (accepted names: {accepted}); "
        f"it has {', '.join(map(repr, columns[:12])) or 'none'}."
    )


def _time_column(frame: pd.DataFrame, roles: dict[str, str]) -> pd.Series:
    """The date column, joined with the clock time where a file keeps it in a column `time`."""
    date = frame[roles["date"]]
    clock = [name for name in frame.columns if name.lower().strip(" <>") == "time"]
    if clock and clock[0] != roles["date"] and roles["date"].lower().strip(" <>") == "date":
        return date.astype(str).str.strip() + " " + frame[clock[0]].astype(str).str.strip()
    return date


def _asset_column(
    frame: pd.DataFrame, roles: dict[str, str], source: str, columns: Sequence[str]
) -> np.ndarray:
    if "asset" not in roles:
        raise _missing(source, "asset", columns)
    names = frame[roles["asset"]].fillna("").astype(str).str.strip().to_numpy(dtype=object)
    unnamed = names == ""
    if unnamed.any():
        raise DataError(
            f"{source}: data row {int(unnamed.argmax()) + 1} names no asset in column "
            f"{roles['asset']!r}; add the name or remove the row."
        )
    return names


def _from_wide(
    frame: pd.DataFrame, date: str, times: np.ndarray, source: str, decimal: str | None
) -> pd.DataFrame:
    """Stack the columns of a wide table; a nameless empty one (a trailing comma) is ignored.

    The index keeps the number of each price's row.
    """
    import pandas as pd

    assets = [
        name
        for name in frame.columns
        if name != date and not (name.startswith("Unnamed") and frame[name].isna().all())
    ]
    if not assets:
        raise DataError(
            f"{source}: no prices beside column {date!r}; "
            "give a column for each asset, or the columns symbol, date and close."
        )
    stacked = [
        _numbers(frame[name], source, _named(name.strip(), times), decimal) for name in assets
    ]
    return pd.DataFrame(
        {
            "asset": np.repeat(
                np.array([name.strip() for name in assets], dtype=object), len(times)
            ),
            "bar": np.tile(times, len(assets)),
            "close": np.concatenate(stacked),
        },
        index=np.tile(np.arange(len(times)), len(assets)),
    )


def _named(assets: np.ndarray | str, times: np.ndarray) -> Callable[[int], str]:
    """How messages name a data row, given each row's asset or the asset of all rows."""
    return lambda row: (
        f"{assets if isinstance(assets, str) else assets[row]} at {stamp(times[row])}"
    )


def _numbers(
    column: pd.Series, source: str, place: Callable[[int], str], decimal: str | None
) -> np.ndarray:
    """A column as float64, NaN where a number is missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = column.astype("string").str.strip()
    marked = texts
    if decimal is not None and decimal != ".":
        # A point parts thousands then, and no number may lose them.
        marked = texts.mask(texts.str.contains(".", regex=False)).str.replace(
            decimal, ".", regex=False
        )
    numbers = pd.to_numeric(marked, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    text = np.isnan(numbers) & ~(texts.isna() | texts.isin(MISSING)).to_numpy(dtype=bool)
    if text.any():
        row = int(text.argmax())
        raise DataError(
            f"{source}: column {str(column.name)!r} of {place(row)} is {str(column.iloc[row])!r}, "
            f"not a number; {_remedy(str(column.iloc[row]).strip(), decimal)}."
        )
    return numbers


def _remedy(text: str, decimal: str | None) -> str:
    """What to do about a text that is no number, most often a comma with another meaning."""
    if decimal == "." and re.fullmatch(r"\D*\d+,\d+\D*", text):
        remedy = "if commas mark the decimals, add \"data.decimal=','\" to the command"
        thousands = re.search(r"\b\d{1,3},\d{3}\b", text)
        return f"{remedy}, or else remove the thousands separator" if thousands else remedy
    if re.search(r"\d[.,]\d{3}(?!\d)", text):
        return "remove the thousands separator"
    return "correct it"
