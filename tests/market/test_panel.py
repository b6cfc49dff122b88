import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.errors import DataError
from fedtrade.market import Panel

DAYS = np.arange("2020-01-01", "2020-01-06", dtype="datetime64[D]")
CLOSE = np.array([[1.0, np.nan], [2.0, 10.0], [1.0, 20.0], [4.0, 5.0], [5.0, np.nan]])


def panel(**changes: object) -> Panel:
    return Panel(**({"bars": DAYS, "assets": ("A", "B"), "close": CLOSE} | changes))


def test_returns_are_relative_changes_and_nan_without_a_price_before() -> None:
    expected = [[np.nan, np.nan], [1.0, np.nan], [-0.5, 1.0], [3.0, -0.75], [0.25, np.nan]]
    np.testing.assert_allclose(panel().returns(), expected)


def test_selection_keeps_order_and_fields() -> None:
    volume = np.arange(10.0).reshape(5, 2)
    chosen = panel(ohlv={"volume": volume}).select(["B", "A"])
    assert chosen.assets == ("B", "A")
    np.testing.assert_array_equal(chosen.close, CLOSE[:, ::-1])
    np.testing.assert_array_equal(chosen.ohlv["volume"], volume[:, ::-1])


def test_until_and_since_include_the_bar() -> None:
    assert panel().until("2020-01-03").n_bars == 3
    assert panel().since(np.datetime64("2020-01-03T00:00:00")).n_bars == 3
    assert panel().since("2020-01-03").until("2020-01-03").bars == [np.datetime64("2020-01-03")]
    assert panel().since("2021").n_bars == 0


def test_a_date_means_all_of_its_hours() -> None:
    hours = np.arange("2020-01-01T00", "2020-01-03T00", dtype="datetime64[h]")
    hourly = Panel(hours, ("A",), np.ones((48, 1)), "1h")
    assert hourly.until("2020-01-01").n_bars == 24
    assert hourly.until("2020-01-01T05:00:00").n_bars == 6
    assert hourly.since("2020-01-02").n_bars == 24
    assert hourly.until("2020-01").n_bars == 48


@pytest.mark.parametrize(("n", "left"), [(0, 0), (2, 2), (5, 5), (9, 5)])
def test_tail_keeps_the_last_bars(n: int, left: int) -> None:
    assert panel().tail(n).bars.tolist() == DAYS.astype("datetime64[s]")[5 - left :].tolist()


def test_a_panel_owns_its_arrays() -> None:
    mine = CLOSE.copy()
    held = panel(close=mine)
    mine[0, 0] = 99.0
    assert held.close[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        held.close[0, 0] = 2.0
    assert np.shares_memory(held.tail(2).close, held.close)


def test_parts_are_as_checked_as_what_is_built_anew() -> None:
    held = panel(ohlv={"high": np.ones((5, 2))})
    part = held.select(["B"]).rows(1, 4)
    assert part.equals(Panel(DAYS[1:4], ("B",), CLOSE[1:4, 1:], "1D", {"high": np.ones((3, 1))}))
    for values in (part.bars, part.close, part.ohlv["high"]):
        assert not values.flags.writeable
    with pytest.raises(DataError, match="'A' is named more than once"):
        held.select(["A", "A"])


def test_copies_and_pickles_are_equal() -> None:
    held = panel(ohlv={"high": np.ones((5, 2))})
    assert pickle.loads(pickle.dumps(held)).equals(held)
    assert copy.deepcopy(held).equals(held)
    assert not held.equals(panel())
    assert not held.equals(held.tail(4))


def test_n_prices_counts_each_asset() -> None:
    assert panel().n_prices.tolist() == [5, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bars": DAYS[[0, 1, 1, 3, 4]]}, "2020-01-02.* is followed by 2020-01-02"),
        ({"bars": DAYS[::-1]}, "strictly increasing"),
        ({"assets": ("A", "A")}, "'A' is named more than once"),
        ({"close": np.where(CLOSE == 20.0, -20.0, CLOSE)}, "close of B at 2020-01-03.* is -20"),
        ({"close": np.where(CLOSE == 20.0, 0.0, CLOSE)}, "positive and finite"),
        ({"close": np.where(CLOSE == 20.0, np.inf, CLOSE)}, "close of B .* is inf"),
        ({"close": np.where(CLOSE == 20.0, np.nan, CLOSE)}, "B is missing at 2020-01-03"),
        ({"ohlv": {"volume": np.full((5, 2), -1.0)}}, "volume of A .* not negative"),
    ],
)
def test_impossible_data_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        panel(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"close": CLOSE[:4]}, r"close must have shape .*\(5, 2\)"),
        ({"bars": DAYS[None]}, "bars must have shape"),
        ({"ohlv": {"vwap": CLOSE}}, "got 'vwap'"),
        ({"ohlv": {"open": CLOSE[:, :1]}}, "open must have shape"),
        ({"bar": "daily"}, "got bar='daily'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panel(**changes)


def test_an_unknown_asset_is_named_with_what_there_is() -> None:
    with pytest.raises(DataError, match=r"no asset 'C' .* A, B"):
        panel().select(["A", "C"])


@settings(deadline=None)
@given(st.integers(1, 29), st.integers(0, 2**31))
def test_no_look_ahead(origin: int, seed: int) -> None:
    """What is cut at a bar and its returns do not depend on later prices."""
    rng = np.random.default_rng(seed)
    bars = np.arange("2020-01-01", "2020-01-31", dtype="datetime64[D]")
    close = np.exp(rng.normal(size=(30, 3)))
    other = close.copy()
    other[origin + 1 :] = np.exp(rng.normal(size=(29 - origin, 3)))
    one, two = (Panel(bars, ("A", "B", "C"), values) for values in (close, other))
    assert one.until(bars[origin]).equals(two.until(bars[origin]))
    np.testing.assert_array_equal(one.returns()[: origin + 1], two.returns()[: origin + 1])
