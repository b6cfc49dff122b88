"""Scale-free features, so that firms with different assets can share one model."""

from fedtrade.features.moments import Standardiser, moment_sum
from fedtrade.features.nowcast import market_nowcast, nowcast_sum
from fedtrade.features.volatility import VolatilityState, volatility_state

__all__ = [
    "Standardiser",
    "VolatilityState",
    "market_nowcast",
    "moment_sum",
    "nowcast_sum",
    "volatility_state",
]
