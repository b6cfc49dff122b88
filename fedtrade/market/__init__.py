"""Market data: panels, where they come from, who holds what, and when it is cut."""

from fedtrade.market.bar_time import BarTime, bar_length
from fedtrade.market.calendar import RollingOrigin, history_window, rolling_origins
from fedtrade.market.files import csv, parquet
from fedtrade.market.panel import OHLV_FIELDS, Panel
from fedtrade.market.partition import (
    ByAsset,
    ByHistory,
    ByPeriod,
    BySector,
    DirichletAssets,
    DrawnAssets,
    Own,
    Partitioner,
    Share,
    cut,
)
from fedtrade.market.repair import GapRule, panel_from_table
from fedtrade.market.sources import eurusd, index, sp500

__all__ = [
    "OHLV_FIELDS",
    "BarTime",
    "ByAsset",
    "ByHistory",
    "ByPeriod",
    "BySector",
    "DirichletAssets",
    "DrawnAssets",
    "GapRule",
    "Own",
    "Panel",
    "Partitioner",
    "RollingOrigin",
    "Share",
    "bar_length",
    "csv",
    "cut",
    "eurusd",
    "history_window",
    "index",
    "panel_from_table",
    "parquet",
    "rolling_origins",
    "sp500",
]
