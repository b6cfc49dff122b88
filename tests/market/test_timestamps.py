import logging

import numpy as np
import pandas as pd
import pytest

from fedtrade.errors import DataError
from fedtrade.market.timestamps import utc_times


def read(*texts: str, **options: str) -> list[str]:
    times = utc_times(pd.Series(list(texts), dtype="str"), source="prices.csv", **options)
    return [str(moment).removesuffix("T00:00:00") for moment in times]


@pytest.mark.parametrize(
    "texts",
    [
        ("2020-02-29", "2020-03-13"),
        ("2020/02/29", "2020/03/13"),
        ("20200229", "20200313"),
        ("29.02.2020", "13.03.2020"),
        ("2/29/2020", "3/13/2020"),
        ("29/2/2020", "13/3/2020"),
        ("29-02-2020", "13-03-2020"),
        ("Feb 29, 2020", "March 13, 2020"),
        ("29-Feb-2020", "13-Mar-2020"),
        ("2020-02-29 00:00:00-05:00", "2020-03-13 00:00:00-04:00"),
        ("2020-02-29T00:00:00+01:00", "2020-03-13T00:00:00+01:00"),
        ("2020-02-29T00:00:00Z", "2020-03-13T00:00:00Z"),
        ("1582934400", "1584057600"),
        ("1582934400000", "1584057600000"),
    ],
)
def test_forms_of_a_date(texts: tuple[str, str]) -> None:
    assert read(*texts) == ["2020-02-29", "2020-03-13"]


def test_clock_times_with_offsets_become_utc(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = read("2020-03-06 16:00:00-05:00", "2020-03-09 16:00:00-04:00")
    assert found == ["2020-03-06T21:00:00", "2020-03-09T20:00:00"]
    assert "converted the times from their offsets to UTC" in caplog.text


def test_a_time_zone_places_times_without_offset() -> None:
    found = read("2020-03-06 16:00", "2020-03-09 16:00", timezone="America/New_York")
    assert found == ["2020-03-06T21:00:00", "2020-03-09T20:00:00"]
    assert read("2020-03-06", timezone="America/New_York") == ["2020-03-06"]
    with pytest.raises(DataError, match="time zone 'Mars/Base'"):
        read("2020-03-06 16:00", timezone="Mars/Base")
    with pytest.raises(DataError, match="time zone 'America/New_York'"):
        read("2020-03-08 02:30", timezone="America/New_York")


def test_stored_times_keep_or_lose_their_zone() -> None:
    local = pd.Series(pd.to_datetime(["2020-03-06 16:00", "2020-03-09 16:00"]))
    aware = local.dt.tz_localize("America/New_York")
    expected = np.array(["2020-03-06T21:00", "2020-03-09T20:00"], dtype="datetime64[s]")
    np.testing.assert_array_equal(utc_times(aware, source="x"), expected)
    np.testing.assert_array_equal(
        utc_times(local, source="x", timezone="America/New_York"), expected
    )
    np.testing.assert_array_equal(utc_times(local, source="x"), local.to_numpy())
    with pytest.raises(DataError, match="'NaT' in data row 1"):
        utc_times(pd.Series([pd.NaT, local[0]]), source="x")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("2020-01-01T10:00Z", "2020-01-01T11:00"), "'2020-01-01T10:00Z' has an offset .* none"),
        (("1/2/2020", "3/4/2020"), r"'1/2/2020' could be day or month .*data\.date_format"),
        (("13/2/2020", "2/13/2020"), "cannot read '2/13/2020' in data row 2"),
        (("2020-01-01", "tomorrow"), "cannot read 'tomorrow' in data row 2"),
        (("2020-01-01", ""), "cannot read '' in data row 2"),
        (("2020-02-30",), "cannot read '2020-02-30' in data row 1"),
        (("20200101", "20201301"), "cannot read '20201301' in data row 2"),
        (("hello",), "cannot read 'hello' in data row 1"),
        (("12",), "cannot read '12' in data row 1"),
        (("01-02-20",), "cannot read '01-02-20' in data row 1"),
    ],
)
def test_times_that_say_nothing_or_two_things(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(*texts)


def test_a_format_settles_it() -> None:
    assert read("1/2/2020", date_format="%d/%m/%Y") == ["2020-02-01"]
    assert read("01-02-20", date_format="%m-%d-%y") == ["2020-01-02"]
    with pytest.raises(DataError, match="cannot read '2020'"):
        read("2020", date_format="%d/%m/%Y")
