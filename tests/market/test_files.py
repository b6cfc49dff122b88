import gzip
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market import Panel, csv, parquet

STOCKNET = Path(__file__).parents[3] / "shared" / "data" / "stocknet" / "prices.csv.gz"

LONG = """Ticker,Date,Close,Volume
A,2020-01-01,1.0,10
A,2020-01-02,2.0,20
A,2020-01-03,3.0,30
B,2020-01-02,5.5,1
B,2020-01-03,4.5,2
"""
WIDE = """date,A,B
2020-01-01,1.0,
2020-01-02,2.0,5.5
2020-01-03,3.0,4.5
"""


def written(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_long_and_wide_mean_the_same(tmp_path: Path) -> None:
    long = csv(written(tmp_path, LONG))
    wide = csv(written(tmp_path, WIDE, "wide.csv"))
    assert long.assets == ("A", "B")
    np.testing.assert_array_equal(long.close, [[1.0, np.nan], [2.0, 5.5], [3.0, 4.5]])
    np.testing.assert_array_equal(long.ohlv["volume"], [[10, np.nan], [20, 1], [30, 2]])
    assert wide.equals(Panel(long.bars, long.assets, long.close))


def test_a_file_of_one_asset_is_called_as_the_file(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close\n2020-01-01,1,3,1,2\n2020-01-02,2,4,2,3\n"
    panel = csv(written(tmp_path, text, "ACME.csv"))
    assert panel.assets == ("ACME",)
    assert panel.close[:, 0].tolist() == [2.0, 3.0]
    assert panel.ohlv["high"][:, 0].tolist() == [3.0, 4.0]


def test_a_folder_holds_a_file_for_each_asset(tmp_path: Path) -> None:
    written(tmp_path, "date,price\n2020-01-01,1\n2020-01-02,2\n", "B.csv")
    written(tmp_path, "date,price\n2020-01-02,3\n2020-01-03,4\n", "A.txt")
    written(tmp_path, "not prices", "README.md")
    panel = csv(tmp_path)
    assert panel.assets == ("A", "B")
    np.testing.assert_array_equal(panel.close, [[np.nan, 1.0], [3.0, 2.0], [4.0, np.nan]])


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found(tmp_path: Path, separator: str) -> None:
    path = written(tmp_path, LONG.replace(",", separator))
    assert csv(path).equals(csv(written(tmp_path, LONG, "comma.csv")))


def test_gzip_byte_order_mark_and_decimal_comma(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(("\ufeff" + LONG).encode()))
    assert csv(path).n_bars == 3
    german = written(tmp_path, "Date;A\n01.02.2020;1,5\n02.02.2020;2,5\n")
    assert csv(german).close[:, 0].tolist() == [1.5, 2.5]
    tabs = written(tmp_path, "Date\tA\n01.02.2020\t1,5\n02.02.2020\t2,5\n", "tabs.csv")
    assert csv(tabs, decimal=",").close[:, 0].tolist() == [1.5, 2.5]
    with pytest.raises(DataError, match=r"is '1,5', .* add \"data\.decimal=','\" to the command"):
        csv(tabs)


@pytest.mark.parametrize(
    ("cells", "decimal", "message"),
    [
        (("1,234", "2,345"), None, r"'1,234'.*data\.decimal.*or else remove the thousands"),
        (("999.50", "1,234.50"), None, r"'1,234\.50', not a number; remove the thousands"),
        (("999,50", "1.234,50"), ",", r"'1\.234,50', not a number; remove the thousands"),
        (("999,50", "1.234"), ",", r"'1\.234', not a number; remove the thousands"),
        (("999,50", "n.a."), ",", r"'n\.a\.', not a number; correct it\.$"),
    ],
)
def test_separators_of_thousands_are_not_decimal_marks(
    tmp_path: Path, cells: tuple[str, str], decimal: str | None, message: str
) -> None:
    text = "date;A\n" + "".join(f"2020-01-0{k + 1};{cell}\n" for k, cell in enumerate(cells))
    with pytest.raises(DataError, match=message):
        csv(written(tmp_path, text), decimal=decimal)


def test_a_repeated_line_of_a_wide_file_is_one_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "date,A,B,C\n" + "2020-01-01,1,2,3\n" * 2 + "2020-01-02,2,3,4\n" * 3
    assert csv(written(tmp_path, text)).n_bars == 2
    assert "left out 3 repeated rows." in caplog.text


def test_adjusted_close_is_preferred_and_scales_the_others(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "symbol,date,open,high,low,close,Adj Close,volume\n"
        "A,2020-01-01,8,12,6,10,5,7\nA,2020-01-02,10,14,8,12,12,9\n",
    )
    panel = csv(path)
    assert panel.close[:, 0].tolist() == [5.0, 12.0]
    assert [panel.ohlv[name][0, 0] for name in ("open", "high", "low", "volume")] == [4, 6, 3, 7]
    raw = csv(path, adjusted=False)
    assert raw.close[:, 0].tolist() == [10.0, 12.0]
    assert raw.ohlv["open"][:, 0].tolist() == [8.0, 10.0]


def test_the_header_of_yfinance_is_understood(tmp_path: Path) -> None:
    text = (
        "Price,Close,Close,Volume,Volume\nTicker,A,B,A,B\nDate,,,,\n"
        "2020-01-01,1.0,,10,\n2020-01-02,2.0,5.5,20,1\n2020-01-03,3.0,4.5,30,2\n"
    )
    assert csv(written(tmp_path, text)).equals(csv(written(tmp_path, LONG, "long.csv")))


def test_words_and_numbers_can_be_tickers(tmp_path: Path) -> None:
    text = "symbol,date,close\n" + "".join(
        f"{name},2020-01-0{day},{day}\n" for name in ("NA", "TRUE", "0700") for day in (1, 2)
    )
    assert csv(written(tmp_path, text)).assets == ("NA", "TRUE", "0700")


def test_a_ticker_like_a_field_stays_an_asset_in_a_wide_file(tmp_path: Path) -> None:
    text = "Date,LOW,OPEN\n2020-01-01,1,2\n2020-01-02,2,3\n"
    assert csv(written(tmp_path, text)).assets == ("LOW", "OPEN")


def test_a_stored_index_and_a_trailing_comma_do_no_harm(tmp_path: Path) -> None:
    indexed = written(tmp_path, WIDE.replace("date,", ",", 1))
    trailing = written(tmp_path, WIDE.replace("\n", ",\n"), "trailing.csv")
    assert csv(indexed).equals(csv(trailing))


def test_rows_of_nothing_but_separators_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, LONG + ",,,\n,,,\n")
    assert csv(path).equals(csv(written(tmp_path, LONG, "long.csv")))


def test_assets_and_period_are_chosen_before_checking(tmp_path: Path) -> None:
    path = written(tmp_path, LONG.replace("A,2020-01-01,1.0", "A,2020-01-01,-1.0"))
    with pytest.raises(DataError, match="close of A at 2020-01-01 is -1"):
        csv(path)
    assert csv(path, assets=["B"]).assets == ("B",)
    assert csv(path, start="2020-01-02").assets == ("A", "B")
    assert csv(path, assets=["B", "A"], start="2020-01-02").assets == ("B", "A")
    with pytest.raises(DataError, match=r"no asset 'C'; it holds A, B; correct data\.assets"):
        csv(path, assets=["C"])
    with pytest.raises(DataError, match="names no asset"):
        csv(path, assets=[])
    with pytest.raises(DataError, match=r"data\.start=2021 leaves no prices: .* 2020-01-01 to"):
        csv(path, start="2021")
    with pytest.raises(
        ConfigurationError, match=r"data\.start or data\.end: a time must look like"
    ):
        csv(path, start="soon")


def test_the_bar_is_inferred_or_given(tmp_path: Path) -> None:
    hours = "".join(f"2020-01-01 {hour:02}:00,{hour + 1}\n" for hour in range(20))
    path = written(tmp_path, "time,A\n" + hours)
    assert csv(path).bar == "1h"
    assert csv(path, bar="60min").bar == "60min"
    with pytest.raises(ConfigurationError, match=r"data\.bar: .*got bar='hourly'"):
        csv(path, bar="hourly")


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**31), n_bars=st.integers(2, 30), n_assets=st.integers(1, 4))
def test_round_trips(tmp_path: Path, seed: int, n_bars: int, n_assets: int) -> None:
    """A panel written long or wide, to CSV or Parquet, in any order of rows, comes back."""
    rng = np.random.default_rng(seed)
    close = np.exp(rng.normal(size=(n_bars, n_assets)))
    for column in range(n_assets):
        close[: rng.integers(0, n_bars - 1), column] = np.nan
    close[:, 0] = np.exp(rng.normal(size=n_bars))
    bars = np.datetime64("2020-01-01", "s") + np.arange(n_bars) * np.timedelta64(1, "D")
    panel = Panel(bars, tuple("ABCD"[:n_assets]), close)

    wide = pd.DataFrame(close, index=pd.Index(bars, name="date"), columns=list(panel.assets))
    long = wide.reset_index().melt("date", var_name="symbol", value_name="close").dropna()
    shuffled = long.sample(frac=1, random_state=seed)
    for name, frame in {"wide": wide.reset_index(), "long": long, "shuffled": shuffled}.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        for read in (csv, parquet):
            back = read(tmp_path / f"{name}.{read.__name__}", bar="1D").select(panel.assets)
            np.testing.assert_array_equal(back.bars, panel.bars)
            np.testing.assert_allclose(back.close, panel.close, rtol=1e-14)
    wide.to_parquet(tmp_path / "indexed.parquet")
    assert parquet(tmp_path / "indexed.parquet", bar="1D").equals(panel)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("symbol,date,close\n", "no rows under the header"),
        ("symbol,close\nA,1\n", r"no column 'date' .*it has 'symbol', 'close'"),
        ("symbol,date,open\nA,2020-01-01,1\n", "no column 'close'"),
        ("date\n2020-01-01\n", "no prices beside column 'date'"),
        ("date,A,A\n2020-01-01,1,2\n", "two columns are named 'A'"),
        ("symbol,date,close\n,2020-01-01,1\n", "data row 1 names no asset"),
        ("date,A\n2020-01-01,1,2,3\n", "cannot be read"),
        ("date,A\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3,4\n", "cannot be read.* line 4"),
        ("date,A\n2020-01-01,1\n2020-01-02,n.a.\n", "'A' of A at 2020-01-02.* is 'n.a.'"),
        ("symbol,date,close\nX,2020-01-01,1\nX,2020-01-02,$2\n", "X at 2020-01-02.* is '\\$2'"),
        ("date,A\n2020-01-01,True\n2020-01-02,False\n", "is 'True', not a number"),
    ],
)
def test_files_that_are_no_price_files(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        csv(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no file in this folder ends in"):
        csv(tmp_path)
    (tmp_path / "prices.csv.gz").write_bytes(b"not gzip")
    (tmp_path / "prices.parquet").write_bytes(b"not parquet")
    (tmp_path / "prices.csv").write_bytes(b"date,A\n2020-01-01,\xff\xfe\n")
    with pytest.raises(DataError, match=r"prices\.csv\.gz: cannot be read"):
        csv(tmp_path / "prices.csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(LONG.encode() * 500)[:-40])
    with pytest.raises(DataError, match=r"cut\.csv\.gz: cannot be read"):
        csv(tmp_path / "cut.csv.gz")
    with pytest.raises(DataError, match=r"prices\.parquet: cannot be read"):
        parquet(tmp_path / "prices.parquet")
    with pytest.raises(DataError, match=r"prices\.csv: cannot be read"):
        csv(tmp_path / "prices.csv")


def test_unknown_options_name_their_key(tmp_path: Path) -> None:
    path = written(tmp_path, LONG)
    for options, key in [
        ({"layout": "tall"}, "data.layout"),
        ({"gaps": "guess"}, "data.gaps"),
        ({"max_gap": -1}, "data.max_gap"),
        ({"max_pause_days": 0}, "data.max_pause_days"),
    ]:
        with pytest.raises(ConfigurationError, match=key):
            csv(path, **options)


@pytest.mark.skipif(not STOCKNET.exists(), reason="the StockNet prices are not beside the checkout")
def test_stocknet_loads_with_stated_repairs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        panel = csv(STOCKNET)
    assert (panel.n_assets, panel.n_bars, panel.bar) == (88, 1258, "1D")
    assert panel.n_prices[panel.assets.index("GMRE")] == 297
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "over 3 missing prices of 3 assets" in caplog.text
