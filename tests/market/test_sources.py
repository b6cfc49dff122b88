import subprocess
import sys

import numpy as np
import pytest

import fedtrade.market
from fedtrade.errors import DataError
from fedtrade.market import Panel, eurusd, index, sp500
from fedtrade.market.sources import from_run, own


def test_sp500_is_complete() -> None:
    panel = sp500()
    assert (panel.n_assets, panel.n_bars, panel.bar) == (20, 8313, "1D")
    assert np.isfinite(panel.close).all()
    assert (str(panel.bars[0])[:10], str(panel.bars[-1])[:10]) == ("1990-01-02", "2022-12-28")


def test_sp500_selects_assets_and_period() -> None:
    panel = sp500(assets=["XOM", "AAPL"], start="2020-01-01", end="2020-12")
    assert panel.assets == ("XOM", "AAPL")
    assert panel.n_bars == 253
    assert panel.equals(sp500().select(["XOM", "AAPL"]).since("2020").until("2020"))


@pytest.mark.slow
def test_sp500_is_what_its_package_loads() -> None:
    from skfolio.datasets import load_sp500_dataset

    frame = load_sp500_dataset()
    panel = sp500()
    assert panel.assets == tuple(frame.columns)
    np.testing.assert_allclose(panel.close, frame.to_numpy(), rtol=1e-14)
    np.testing.assert_array_equal(panel.bars, frame.index.to_numpy().astype("datetime64[s]"))


def test_index_has_every_field() -> None:
    panel = index()
    assert panel.assets == ("SP500", "NASDAQ")
    assert panel.n_bars == 5031
    assert list(panel.ohlv) == ["open", "high", "low", "volume"]
    assert (panel.ohlv["low"] <= panel.ohlv["high"]).all()
    assert panel.until("1999-01-04").close.tolist() == [[1228.099976, 2208.050049]]
    assert index(["NASDAQ"]).equals(panel.select(["NASDAQ"]))


def test_eurusd_is_hourly() -> None:
    panel = eurusd()
    assert (panel.assets, panel.bar, panel.n_bars) == (("EURUSD",), "1h", 6225)
    assert str(panel.bars[0]) == "2017-01-01T22:00:00"
    assert panel.close[0, 0] == 1.05227
    assert eurusd(start="2017-06-01", end="2017-06-01").n_bars == 24


@pytest.mark.parametrize("load", [sp500, index, eurusd])
def test_unknown_assets_and_empty_periods_are_refused(load: object) -> None:
    with pytest.raises(DataError, match="TSLA"):
        load(assets=["TSLA"])
    with pytest.raises(
        DataError, match=r"data\.start=2040-01-01 leaves no prices.* runs from \d{4}"
    ):
        load(start="2040-01-01")


def test_every_public_name_exists_and_sources_give_panels() -> None:
    assert all(hasattr(fedtrade.market, name) for name in fedtrade.market.__all__)
    assert len(set(fedtrade.market.__all__)) == len(fedtrade.market.__all__)
    assert isinstance(index(end="2000"), Panel)


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, fedtrade.market;"
        "print({'pandas', 'torch', 'skfolio', 'sklearn', 'pyarrow'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_names_that_stand_for_prices_elsewhere_hold_none() -> None:
    with pytest.raises(DataError, match=r"data=csv data\.path=FILE"):
        own()
    with pytest.raises(DataError, match="fedtrade client"):
        from_run()
