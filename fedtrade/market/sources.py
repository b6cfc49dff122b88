"""Prices that ship inside installed packages: nothing is fetched.

The files are read where they lie, because importing their packages takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fedtrade.errors import DataError
from fedtrade.market import files
from fedtrade.market.bar_time import BarTime
from fedtrade.market.panel import OHLV_FIELDS, Panel

__all__ = ["eurusd", "from_run", "index", "own", "sp500"]


def from_run() -> Panel:
    """On a participant's machine, the prices that a run names: `fedtrade client` puts them here.

    Raises
    ------
    DataError
        Always.
    """
    raise DataError(
        "data=from_run is for `fedtrade client` alone; a run names its prices, such as data=sp500."
    )


def own() -> Panel:
    """Nobody's prices: each participant puts its own in their place, on its own machine.

    Raises
    ------
    DataError
        Always.
    """
    raise DataError(
        "data=own stands for each participant's own prices, and there are none on this machine; "
        "a participant names its own with data=csv data.path=FILE, and comparisons that need "
        "everybody's are left out with evaluation.pooled=false evaluation.public_bars=0."
    )


def sp500(
    assets: Sequence[str] | None = None,
    start: BarTime | None = None,
    end: BarTime | None = None,
) -> Panel:
    """Twenty large US stocks, adjusted close, daily from 1990 to 2022 (from skfolio, BSD-3).

    Chosen with hindsight: all of them survived. Compare models on it, not markets.

    Raises
    ------
    DataError
        If an asset is unknown or the period holds no prices.
    """
    path = _packaged("skfolio", "datasets/data/sp500_dataset.csv.gz")
    return files.csv(path, layout="wide", bar="1D", assets=assets, start=start, end=end)


def index(
    assets: Sequence[str] | None = None,
    start: BarTime | None = None,
    end: BarTime | None = None,
) -> Panel:
    """The indices `SP500` and `NASDAQ`, OHLCV, daily from 1999 to 2018 (from arch, NCSA).

    Raises
    ------
    DataError
        If an asset is unknown or the period holds no prices.
    """
    known = {"SP500": "data/sp500/sp500.csv.gz", "NASDAQ": "data/nasdaq/nasdaq.csv.gz"}
    chosen = tuple(known) if assets is None else tuple(assets)
    unknown = [asset for asset in chosen if asset not in known]
    if unknown or not chosen:
        raise DataError(f"data.assets must be of {', '.join(known)}, got {list(chosen)}.")
    panels = [
        files.csv(_packaged("arch", known[asset]), bar="1D", start=start, end=end)
        for asset in chosen
    ]
    return _side_by_side(chosen, panels)


def eurusd(
    assets: Sequence[str] | None = None,
    start: BarTime | None = None,
    end: BarTime | None = None,
) -> Panel:
    """The ask price of one euro in US dollars, OHLCV, hourly over 2017 (from gym-anytrading, MIT).

    A bar is labelled by the hour in which it opens; there are none at weekends.

    Raises
    ------
    DataError
        If an asset other than `EURUSD` is asked for or the period holds no prices.
    """
    if assets is not None and list(assets) != ["EURUSD"]:
        raise DataError(f"data.assets must be EURUSD, got {list(assets)}.")
    path = _packaged("gym_anytrading", "datasets/data/FOREX_EURUSD_1H_ASK.csv")
    return _side_by_side(("EURUSD",), [files.csv(path, bar="1h", start=start, end=end)])


def _packaged(package: str, inside: str) -> Path:
    """The path of a file in an installed package, found without importing it."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise DataError(
            f"the package {package} with the file {inside} is not installed as expected; "
            "reinstall fedtrade with its dependencies."
        )
    return path


def _side_by_side(assets: tuple[str, ...], panels: Sequence[Panel]) -> Panel:
    """Join panels of one asset each that have the same bars and fields."""
    first = panels[0]
    ohlv = {name: np.hstack([(panel.ohlv or {})[name] for panel in panels]) for name in OHLV_FIELDS}
    close = np.hstack([panel.close for panel in panels])
    return Panel(first.bars, assets, close, first.bar, ohlv)
