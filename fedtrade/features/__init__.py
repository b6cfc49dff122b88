"""Scale-free features, so that firms with different assets can share one model."""

from fedtrade.features.moments import Standardiser, moment_sum, muted
from fedtrade.features.nowcast import (
    beside_nowcast,
    market_nowcast,
    nowcast_sum,
    without_nowcast,
)
from fedtrade.features.volatility import VolatilityState, volatility_state

__all__ = [
    "Standardiser",
    "VolatilityState",
    "beside_nowcast",
    "market_nowcast",
    "moment_sum",
    "muted",
    "nowcast_sum",
    "volatility_state",
    "without_nowcast",
]
