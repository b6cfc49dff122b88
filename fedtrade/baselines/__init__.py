"""Naive forecasts of one asset's tail: what any learned model has to beat.

Each model is a function `forecast(returns, n_train, levels) -> (var, es)`; `TailForecaster`
says precisely what goes in and out. `NAIVE_FORECASTERS` maps the names used in results to them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fedtrade.baselines.ewma import ewma_t6, ewma_variance, expanding_variance
from fedtrade.baselines.fhs import fhs
from fedtrade.baselines.forecast import WARM_UP_BARS, TailForecast, TailForecaster
from fedtrade.baselines.gjr_garch import gjr_garch_t
from fedtrade.baselines.har_mix import har_mix_t6, har_mix_variance
from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall

NAIVE_FORECASTERS: Mapping[str, TailForecaster] = MappingProxyType(
    {"ewma_t6": ewma_t6, "har_mix_t6": har_mix_t6, "fhs": fhs, "gjr_garch_t": gjr_garch_t}
)

__all__ = [
    "NAIVE_FORECASTERS",
    "WARM_UP_BARS",
    "TailForecast",
    "TailForecaster",
    "ewma_t6",
    "ewma_variance",
    "expanding_variance",
    "fhs",
    "gjr_garch_t",
    "har_mix_t6",
    "har_mix_variance",
    "student_t_quantile",
    "student_t_shortfall",
]
