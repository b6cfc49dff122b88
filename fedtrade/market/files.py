"""The user's own price files: CSV and Parquet, in every layout that is common.

Columns (case, spaces and punctuation do not matter; `layout.column_names` lists the synonyms):

- *long*: `symbol`, `date`, `close` and optionally `adj_close`, `open`, `high`, `low`, `volume`;
- *single*: as long without `symbol`; the asset is called as the file is;
- *wide*: `date` and a column of closing prices for each asset;
- a folder holds any number of such files, usually one an asset.

Listing dates may differ. What is repaired and what is refused stands in `repair` and `timestamps`.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Sequence
from csv import reader
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market.bar_time import BarTime, bar_length, first_second, last_second, stamp
from fedtrade.market.kept_panels import kept_or_read
from fedtrade.market.layout import MISSING, column_names, long_table
from fedtrade.market.panel import Panel
from fedtrade.market.repair import GapRule, panel_from_table

if TYPE_CHECKING:
    import pandas as pd

    _Table: TypeAlias = tuple[pd.DataFrame, str | None]
    """What a file holds, and its decimal mark where it has numbers as texts."""

__all__ = ["csv", "parquet"]

_CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
_PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class _Options:
    """What is read of a file, and how: the options of `csv`."""

    assets: tuple[str, ...] | None
    period: tuple[BarTime | None, BarTime | None]
    bar: str | None
    layout: str | None
    adjusted: bool
    rule: GapRule
    date_format: str | None
    timezone: str | None
    separator: str | None = None
    decimal: str | None = None


def csv(
    path: str | Path,
    *,
    assets: Sequence[str] | None = None,
    start: BarTime | None = None,
    end: BarTime | None = None,
    bar: str | None = None,
    layout: str | None = None,
    adjusted: bool = True,
    gaps: str = "fill",
    max_gap: int = 5,
    max_pause_days: float = 15.0,
    separator: str | None = None,
    decimal: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
) -> Panel:
    """Read prices from a CSV file (plain or gzip) or a folder of them.

    Parameters
    ----------
    path : str or Path
        A file, or a folder whose files end in .csv, .tsv or .txt (and .gz).
    assets : sequence of str or None
        Which assets, in this order; None takes all. What is not chosen is not checked either.
    start, end : time or None
        The period to keep, both inclusive.
    bar : str or None
        The bar length such as `"1D"` or `"1h"`; None takes the usual spacing.
    layout : str or None
        `"long"`, `"single"` or `"wide"`; None tells from the columns.
    adjusted : bool
        Whether an adjusted close is preferred; open, high and low are then scaled alike.
    gaps, max_gap, max_pause_days
        See `repair.GapRule`.
    separator : str or None
        None takes the one of comma, semicolon, tab and bar that the header has most of.
    decimal : str or None
        The decimal mark; None takes a comma where semicolons separate columns of numbers with
        decimal commas, else a point.
    date_format : str or None
        A `strptime` format for times that are not understood without.
    timezone : str or None
        The IANA name of the zone of times without an offset; None takes them as UTC.

    Raises
    ------
    DataError
        If the prices cannot be used; it names file, asset, time, value and remedy.
    ConfigurationError
        If an option has no such value.
    """
    options = _Options(
        assets=None if assets is None else tuple(assets),
        period=(start, end),
        bar=bar,
        layout=layout,
        adjusted=adjusted,
        rule=GapRule(gaps, max_gap, max_pause_days),
        date_format=date_format,
        timezone=timezone,
        separator=separator,
        decimal=decimal,
    )
    return _panel(Path(path), _CSV_SUFFIXES, _read_csv, options)


def parquet(
    path: str | Path,
    *,
    assets: Sequence[str] | None = None,
    start: BarTime | None = None,
    end: BarTime | None = None,
    bar: str | None = None,
    layout: str | None = None,
    adjusted: bool = True,
    gaps: str = "fill",
    max_gap: int = 5,
    max_pause_days: float = 15.0,
    date_format: str | None = None,
    timezone: str | None = None,
) -> Panel:
    """Read prices from a Parquet file or a folder of them; options and errors as in `csv`.

    An index that was stored with a data frame counts as its first columns.
    """
    options = _Options(
        assets=None if assets is None else tuple(assets),
        period=(start, end),
        bar=bar,
        layout=layout,
        adjusted=adjusted,
        rule=GapRule(gaps, max_gap, max_pause_days),
        date_format=date_format,
        timezone=timezone,
    )
    return _panel(Path(path), _PARQUET_SUFFIXES, _read_parquet, options)


def _panel(
    path: Path,
    suffixes: tuple[str, ...],
    read: Callable[[Path, _Options], _Table],
    options: _Options,
) -> Panel:
    """Read the files, keep what was chosen, and check only that."""
    _check_bar(options.bar)
    files = _files(path, suffixes)

    def panel() -> Panel:
        return _read_panel(files, read, options, str(path))

    return kept_or_read(files, (str(path), read.__name__, options), panel)


def _read_panel(
    files: Sequence[Path],
    read: Callable[[Path, _Options], _Table],
    options: _Options,
    source: str,
) -> Panel:
    import pandas as pd

    tables = []
    for file in files:
        frame, decimal = read(file, options)
        table = long_table(
            frame,
            source=str(file),
            asset=_asset_name(file),
            layout=options.layout,
            adjusted=options.adjusted,
            date_format=options.date_format,
            timezone=options.timezone,
            decimal=decimal,
        )
        tables.append(table)
    # Labelled by file and row, so that repairs can count rows.
    table = pd.concat(tables, keys=range(len(tables)))
    table = _chosen(table, options.assets, options.period, source)
    panel = panel_from_table(table, source=source, bar=options.bar, rule=options.rule)
    return panel if options.assets is None else panel.select(options.assets)


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not path.exists():
        raise DataError(f"no such file or folder: {path}; correct data.path.")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith(suffixes))
    if not files:
        raise DataError(f"{path}: no file in this folder ends in {', '.join(suffixes)}.")
    return files


def _asset_name(file: Path) -> str:
    name = file.name
    for suffix in (*_CSV_SUFFIXES[::-1], *_PARQUET_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return file.stem


def _read_csv(file: Path, options: _Options) -> _Table:
    """Read a file with unique columns; a column that is not all numbers stays text."""
    header, following = _first_lines(file)
    if header.startswith("Price,") and following.startswith("Ticker,"):
        return _read_yfinance(file), "."
    separator, decimal = options.separator or max(",;\t|", key=header.count), options.decimal
    columns = [name.strip() for name in next(reader([header], delimiter=separator))]
    repeated = [name for name in columns if name and columns.count(name) > 1]
    if repeated:
        raise DataError(f"{file}: two columns are named {repeated[0]!r}; rename one of them.")
    columns = [name or f"Unnamed: {position}" for position, name in enumerate(columns)]
    roles = column_names(columns)
    texts = {roles[role] for role in ("date", "asset") if role in roles}
    frame = _read_columns(file, separator, decimal or ".", columns, texts)
    numbers = frame.drop(columns=[*texts])
    if decimal is None and separator == ";" and numbers.size and _has_decimal_commas(numbers):
        decimal = ","
        frame = _read_columns(file, separator, decimal, columns, texts)
    # Spreadsheets leave rows of nothing but separators behind.
    filled = ~(frame.isna() | (frame == "")).all(axis="columns")
    return frame[filled], decimal or "."


def _read_columns(
    file: Path, separator: str, decimal: str, columns: list[str], texts: set[str]
) -> pd.DataFrame:
    """Read all rows; the columns `texts` hold texts, the others should hold numbers."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # Longer rows than the header would be cut off with no more than this warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                file,
                sep=separator,
                decimal=decimal,
                header=0,
                names=columns,
                index_col=False,
                dtype=dict.fromkeys(texts, "str"),
                # A ticker may be called NA, so only columns of numbers know that word.
                keep_default_na=False,
                na_values={name: list(MISSING) for name in columns if name not in texts},
                low_memory=False,
                encoding="utf-8-sig",
            )
    except (OSError, EOFError, zlib.error, ValueError, pd.errors.ParserWarning) as error:
        raise _unreadable(file, error) from error


def _has_decimal_commas(numbers: pd.DataFrame) -> bool:
    """Whether each comma is the decimal mark of a number, and not all of them part thousands."""
    import pandas as pd

    texts = pd.concat([numbers[name].astype("string").str.strip() for name in numbers]).dropna()
    found = texts[texts.str.contains(",", regex=False)]
    if not found.str.fullmatch(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?").all():
        return False
    return not found.str.fullmatch(r"[+-]?\d{1,3},\d{3}").all()


def _read_yfinance(file: Path) -> pd.DataFrame:
    """Read the two header lines, field and ticker, that yfinance writes."""
    import pandas as pd

    try:
        frame = pd.read_csv(file, header=[0, 1], index_col=0, encoding="utf-8-sig")
        frame = frame.rename_axis(index="Date")
        return frame.stack(level=1, future_stack=True).reset_index()  # noqa: PD013 (melt knows one level)
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(file, error) from error


def _first_lines(file: Path) -> tuple[str, str]:
    """The first two lines that are not blank, the second one empty if there is none."""
    open_text = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with open_text(file, "rt", encoding="utf-8-sig", newline=None) as lines:
            filled = (line.rstrip("\r\n") for line in lines if line.strip())
            header, following = next(filled, ""), next(filled, "")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    if not header:
        raise DataError(f"{file}: the file is empty; give one with a header and prices.")
    return header, following


def _read_parquet(file: Path, _: _Options) -> _Table:
    import pandas as pd

    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    return (frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()), None


def _chosen(
    table: pd.DataFrame,
    assets: Sequence[str] | None,
    period: tuple[BarTime | None, BarTime | None],
    source: str,
) -> pd.DataFrame:
    """The rows of the chosen assets and period."""
    if assets is not None:
        known = table["asset"].unique().tolist()
        unknown = [asset for asset in assets if asset not in known]
        if unknown or not assets:
            raise DataError(
                f"{source}: no asset {unknown[0]!r}; it holds {', '.join(known[:12])}"
                f"{' and more' if len(known) > 12 else ''}; correct data.assets."
                if unknown
                else "data.assets names no asset; set it to null for all of them."
            )
        table = table[table["asset"].isin(assets)]
    covered = (table["bar"].min(), table["bar"].max())
    start, end = period
    try:
        if start is not None:
            table = table[table["bar"] >= first_second(start)]
        if end is not None:
            table = table[table["bar"] <= last_second(end)]
    except ValueError as error:
        raise ConfigurationError(f"data.start or data.end: {error}") from error
    if table.empty:
        limits = {"data.start": start, "data.end": end}
        asked = [f"{key}={value}" for key, value in limits.items() if value is not None]
        raise DataError(
            f"{' and '.join(asked)} {'leaves' if len(asked) == 1 else 'leave'} no prices: "
            f"the data runs from {stamp(covered[0])} to {stamp(covered[1])}."
        )
    return table


def _check_bar(bar: str | None) -> None:
    try:
        if bar is not None:
            bar_length(bar)
    except ValueError as error:
        raise ConfigurationError(f"data.bar: {error}") from error


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{file}: cannot be read: {reason}.")
