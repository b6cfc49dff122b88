import logging

import numpy as np
import pandas as pd
import pytest

from fedtrade.errors import DataError
from fedtrade.market import GapRule, Panel, panel_from_table


def table(
    prices: dict[str, list[float]], start: str = "2020-01-01", **fields: object
) -> pd.DataFrame:
    """A daily long table; NaN stands for a row without a price."""
    frames = [
        pd.DataFrame(
            {
                "asset": asset,
                "bar": np.datetime64(start, "s") + np.arange(len(values)) * np.timedelta64(1, "D"),
                "close": np.asarray(values, dtype=float),
                **fields,
            }
        )
        for asset, values in prices.items()
    ]
    return pd.concat(frames, ignore_index=True)


def panel(data: pd.DataFrame, **rule: object) -> Panel:
    return panel_from_table(data, source="prices.csv", rule=GapRule(**rule))


NAN = float("nan")
LONG = [float(value) for value in range(1, 101)]


def with_gap(first: int, length: int) -> list[float]:
    return LONG[:first] + [NAN] * length + LONG[first + length :]


def test_a_short_gap_is_filled_forward_and_said(caplog: pytest.LogCaptureFixture) -> None:
    data = table({"A": LONG, "B": with_gap(10, 2)})
    data["high"], data["volume"] = data["close"] + 1, 7.0
    filled = panel(data)
    assert filled.close[9:13, 1].tolist() == [10.0, 10.0, 10.0, 13.0]
    assert filled.ohlv["high"][9:13, 1].tolist() == [11.0, 10.0, 10.0, 14.0]
    assert filled.ohlv["volume"][9:13, 1].tolist() == [7.0, 0.0, 0.0, 7.0]
    assert "over 2 missing prices of 1 assets (the longest gap: B, 2 bars up to 2020-01-12)" in (
        caplog.text
    )


def test_gaps_can_be_dropped_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    data = table({"A": LONG, "B": with_gap(10, 2)})
    kept = panel(data, gaps="drop")
    assert kept.n_bars == 98
    assert kept.close[9:11].tolist() == [[10.0, 10.0], [13.0, 13.0]]
    assert "left out 2 of 100 bars" in caplog.text
    with pytest.raises(
        DataError, match=r"B has no price on 2 .* from 2020-01-11 to 2020-01-12.*gaps=fill"
    ):
        panel(data, gaps="error")


def test_a_long_gap_is_refused_until_it_is_allowed() -> None:
    data = table({"A": LONG, "B": with_gap(10, 6)})
    with pytest.raises(DataError, match=r"prices\.csv: B .* 6 bar.*the 5 allowed.*data\.max_gap"):
        panel(data)
    assert panel(data, max_gap=6).close[15, 1] == 10.0


def test_an_asset_of_another_calendar_is_refused() -> None:
    values = [value if day % 7 < 5 else NAN for day, value in enumerate(LONG)]
    with pytest.raises(DataError, match=r"STOCK has no price on 28% .*data\.gaps=drop"):
        panel(table({"CRYPTO": LONG, "STOCK": values}))


def test_listing_dates_may_differ() -> None:
    data = table({"A": LONG, "B": [NAN] * 40 + LONG[40:80] + [NAN] * 20})
    assert panel(data, gaps="error").n_prices.tolist() == [100, 40]


def test_filling_never_looks_ahead() -> None:
    early = table({"A": LONG, "B": with_gap(10, 2)})
    late = early.copy()
    late.loc[late["bar"] > np.datetime64("2020-01-12"), "close"] *= 3.0
    cut = np.datetime64("2020-01-12", "s")
    assert panel(early).until(cut).equals(panel(late).until(cut))


def test_a_stretch_without_any_price_is_refused() -> None:
    data = table({"A": LONG, "B": LONG})
    data = data[
        (data["bar"] < np.datetime64("2020-02-01")) | (data["bar"] > np.datetime64("2020-02-20"))
    ]
    with pytest.raises(
        DataError, match=r"between 2020-01-31 and 2020-02-21 \(21 days\).*max_pause_days=21"
    ):
        panel(data)
    assert panel(data, max_pause_days=21).n_bars == 80


def test_rows_are_sorted_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    data = table({"A": LONG, "B": LONG})
    with caplog.at_level(logging.INFO):
        backwards = panel(data[::-1])
    assert backwards.select(["A", "B"]).equals(panel(data))
    assert "sorted the rows by time" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        panel(data.sort_values(["bar", "asset"]))
    assert caplog.text == ""


def test_equal_duplicates_are_left_out_and_others_refused(caplog: pytest.LogCaptureFixture) -> None:
    data = table({"A": LONG})
    twice = pd.concat([data, data.iloc[[3]]], ignore_index=True)
    assert panel(twice).equals(panel(data))
    assert "left out 1 repeated row." in caplog.text
    twice.loc[100, "close"] = 4.5
    with pytest.raises(
        DataError, match=r"A has 2 different rows at 2020-01-04 \(close 4 and 4\.5\)"
    ):
        panel(twice)


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0"), (-3.5, "-3.5"), (np.inf, "inf")])
def test_impossible_prices_are_refused(value: float, shown: str) -> None:
    data = table({"A": LONG, "B": [*LONG[:7], value, *LONG[8:]]})
    with pytest.raises(
        DataError, match=f"prices.csv: close of B at 2020-01-08 is {shown}; .*empty"
    ):
        panel(data)


def test_fields_are_checked_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"volume of A at 2020-01-01 is -1; .* not negative"):
        panel(table({"A": LONG}, volume=-1.0))
    with pytest.raises(DataError, match="high of A at 2020-01-01 is 2, below its low 3"):
        panel(table({"A": LONG}, high=2.0, low=3.0))
    unknown = panel(table({"A": LONG}, open=0.0))
    assert np.isnan(unknown.ohlv["open"]).all()
    assert "100 zero values of open are taken as unknown" in caplog.text


def test_an_asset_without_variance_is_refused() -> None:
    with pytest.raises(DataError, match=r"price of PEG never changes \(1\).*data\.assets"):
        panel(table({"A": LONG, "PEG": [1.0] * 100}))


def test_an_asset_without_prices_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    left = panel(table({"A": LONG, "GHOST": [NAN] * 100, "NEW": [NAN] * 99 + [1.0]}))
    assert left.assets == ("A",)
    assert "left out GHOST, NEW, with fewer than two prices" in caplog.text
    with pytest.raises(DataError, match="no asset has two prices"):
        panel(table({"GHOST": [NAN] * 100}))
