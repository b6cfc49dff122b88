"""Times as files write them, read as UTC without guessing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["utc_times"]

_log = logging.getLogger(__name__)

_OFFSET = r":\d{2}.*?\s*(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_NUMERIC_DATE = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)$"


def utc_times(
    column: pd.Series,
    *,
    source: str,
    timezone: str | None = None,
    date_format: str | None = None,
) -> NDArray[np.datetime64]:
    """Read a column of times as UTC.

    Understood without help: ISO 8601 with or without a clock time and an offset, `20170630`,
    Unix seconds and milliseconds, `30.06.2017`, `6/30/2017` or `30/6/2017` where some day of the
    column is beyond 12, and dates with a month's name. Dates stay dates: where all clock times are
    midnight, an offset or time zone only says whose day it is and is left out.

    Parameters
    ----------
    column : pandas.Series
        Texts, or times as a Parquet file stores them.
    source : str
        The file, for messages.
    timezone : str or None
        The IANA name of the zone of times without an offset, such as `"America/New_York"`;
        None takes them as UTC.
    date_format : str or None
        A `strptime` format for anything else.

    Returns
    -------
    datetime64[s] of shape (n_rows,)

    Raises
    ------
    DataError
        If one is missing, cannot be read or could be read in two ways, or if some times have an
        offset and others have none.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        _refuse_missing(column.isna().to_numpy(), column, source)
        return _in_utc(column, source, timezone)
    texts = column.astype(str).str.strip()
    aware = texts.str.contains(_OFFSET, regex=True).to_numpy()
    if aware.any() and not aware.all():
        raise DataError(
            f"{source}: time {texts.iloc[aware.argmax()]!r} has an offset from UTC and "
            f"{texts.iloc[aware.argmin()]!r} has none; write all of them in the same way."
        )
    times = _parse(texts, bool(aware.all()), source, date_format)
    _refuse_missing(times.isna().to_numpy(), texts, source)
    return _in_utc(times, source, timezone)


def _in_utc(times: pd.Series, source: str, timezone: str | None) -> NDArray[np.datetime64]:
    """Times of a datetime column in UTC, or their dates where all of them are dates."""
    zone = times.dt.tz
    local = times.dt.tz_localize(None)
    if (local == local.dt.normalize()).all():
        return _whole_seconds(local)
    if zone is None and timezone is None:
        return _whole_seconds(local)
    if zone is None:
        try:
            times = local.dt.tz_localize(timezone)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"{source}: the times cannot be read in the time zone {timezone!r}: {error}."
            ) from error
    if str(times.dt.tz) != "UTC":
        _log.info("%s: converted the times from %s to UTC.", source, times.dt.tz)
    return _whole_seconds(times.dt.tz_convert("UTC").dt.tz_localize(None))


def _whole_seconds(times: pd.Series) -> NDArray[np.datetime64]:
    seconds: NDArray[np.datetime64] = times.to_numpy().astype("datetime64[s]")
    return seconds


def _parse(texts: pd.Series, aware: bool, source: str, date_format: str | None) -> pd.Series:
    """Texts as times, NaT where one cannot be read; the first text decides on the format."""
    import pandas as pd

    if date_format is not None:
        return pd.to_datetime(texts, format=date_format, errors="coerce")
    if aware:
        return _parse_aware(texts, source)
    first = texts.iloc[0]
    if first.isdigit() and len(first) == 8:
        return pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    if first.isdigit() and len(first) in (10, 13):
        numbers = pd.to_numeric(texts, errors="coerce")
        return pd.to_datetime(numbers, unit="s" if len(first) == 10 else "ms", errors="coerce")
    if pd.Series([first]).str.match(_NUMERIC_DATE).all():
        return pd.to_datetime(_year_first(texts, source), format="ISO8601", errors="coerce")
    if any(letter.isalpha() for letter in first.replace("T", "")):
        named = texts.where(texts.str.contains(r"[A-Za-z]{3}", regex=True))
        return pd.to_datetime(named, format="mixed", errors="coerce")
    iso = texts.str.replace(r"^(\d{4})[/.](\d{2})[/.](\d{2})", r"\1-\2-\3", regex=True)
    return pd.to_datetime(iso, format="ISO8601", errors="coerce")


def _parse_aware(texts: pd.Series, source: str) -> pd.Series:
    """Times with offsets: their own dates if all are midnight, else in UTC."""
    import pandas as pd

    plain = texts.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    local = pd.to_datetime(
        plain.str.replace(r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?)$", "", regex=True).str.strip(),
        format="ISO8601",
        errors="coerce",
    )
    if local.notna().all() and (local == local.dt.normalize()).all():
        return local
    if not plain.str.contains(r"(?:[zZ]|[+-]00:?(?:00)?)$", regex=True).all():
        _log.info("%s: converted the times from their offsets to UTC.", source)
    return pd.to_datetime(plain, format="ISO8601", errors="coerce", utc=True)


def _year_first(texts: pd.Series, source: str) -> pd.Series:
    """Dates such as 30.06.2017 or 6/30/2017 in ISO order; NaN where one has another form."""
    import pandas as pd

    parts = texts.str.extract(_NUMERIC_DATE)
    one, two = (pd.to_numeric(parts[k]) for k in (0, 1))
    day_first = "." in texts.iloc[0][:5] or bool((one > 12).any())
    if not day_first and not (two > 12).any():
        raise DataError(
            f"{source}: {texts.iloc[0]!r} could be day or month first; "
            "set data.date_format, such as '%m/%d/%Y' or '%d/%m/%Y'."
        )
    day, month = (parts[0], parts[1]) if day_first else (parts[1], parts[0])
    return parts[2] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + parts[3]


def _refuse_missing(missing: NDArray[np.bool_], column: pd.Series, source: str) -> None:
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"{source}: cannot read {str(column.iloc[row])!r} in data row {row + 1} as a time; "
            "correct it or set data.date_format, such as '%d-%m-%y'."
        )
