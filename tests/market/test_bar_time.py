from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from fedtrade.market.bar_time import bar_length, first_second, last_second, stamp, usual_bar


@pytest.mark.parametrize(
    ("bar", "seconds"), [("1D", 86400), ("1h", 3600), ("5min", 300), ("30s", 30), ("2W", 1209600)]
)
def test_bar_length(bar: str, seconds: int) -> None:
    assert bar_length(bar) == np.timedelta64(seconds, "s")


@pytest.mark.parametrize("bar", ["", "D", "0h", "1d", "1.5h", "1 h", "-1D", "1M"])
def test_unknown_bar_lengths_are_refused(bar: str) -> None:
    with pytest.raises(ValueError, match="bar must be a whole number"):
        bar_length(bar)


def test_usual_bar_ignores_weekends() -> None:
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    assert usual_bar(days[np.is_busday(days)]) == "1D"


@pytest.mark.parametrize("bar", ["1D", "1h", "5min", "90s", "1W", "31D"])
def test_usual_bar_inverts_bar_length(bar: str) -> None:
    bars = np.datetime64("2020-01-01", "s") + np.arange(9) * bar_length(bar)
    assert usual_bar(bars) == bar


def test_periods_have_a_first_and_a_last_second() -> None:
    assert str(first_second("2020-02")) == "2020-02-01T00:00:00"
    assert first_second(2020) == first_second("2020-01-01")
    assert str(last_second("2020-02")) == "2020-02-29T23:59:59"
    assert str(last_second("2020-02-03T04:05:06")) == "2020-02-03T04:05:06"
    eastern = timezone(timedelta(hours=-5))
    assert str(first_second(datetime(2020, 1, 1, 22, tzinfo=eastern))) == "2020-01-02T03:00:00"


def test_a_stamp_shows_the_clock_only_where_it_says_something() -> None:
    assert stamp(np.datetime64("2020-01-02", "s")) == "2020-01-02"
    assert stamp(np.datetime64("2020-01-02T03:00", "s")) == "2020-01-02T03:00:00"


@pytest.mark.parametrize("moment", ["soon", "2020-13-01", "2020-01-01T00:00Z", "NaT"])
def test_other_texts_are_refused(moment: str) -> None:
    with pytest.raises(ValueError, match="a time must"):
        first_second(moment)
