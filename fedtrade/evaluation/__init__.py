"""Scores, tests and comparisons of forecasts and trading signals: arrays in, numbers out.

- `quantile_scores`, `volatility_scores`: how good a forecast was, bar by bar
- `coverage`, `acerbi_szekely`: is a tail forecast calibrated, from counts and sums
- `comparison`: is one model better than another
- `concordance`, `trading`, `sharpe`: is a signal worth anything, after costs and trials

scipy, arch and skfolio are imported where they are used, so importing this package is light.
"""

from fedtrade.evaluation.acerbi_szekely import acerbi_szekely_z2, shortfall_sums
from fedtrade.evaluation.comparison import (
    Interval,
    block_bootstrap_interval,
    mean_t,
    relative_gain,
    relative_gain_interval,
)
from fedtrade.evaluation.coverage import (
    breaches,
    christoffersen,
    hit_counts,
    kupiec,
    transition_counts,
)
from fedtrade.evaluation.quantile_scores import fz0, pinball
from fedtrade.evaluation.sharpe import (
    annualised_sharpe,
    deflated_sharpe,
    probabilistic_sharpe,
    sharpe,
)
from fedtrade.evaluation.trading import backtest
from fedtrade.evaluation.volatility_scores import log_squared_error, qlike

__all__ = [
    "Interval",
    "acerbi_szekely_z2",
    "annualised_sharpe",
    "backtest",
    "block_bootstrap_interval",
    "breaches",
    "christoffersen",
    "deflated_sharpe",
    "fz0",
    "hit_counts",
    "kupiec",
    "log_squared_error",
    "mean_t",
    "pinball",
    "probabilistic_sharpe",
    "qlike",
    "relative_gain",
    "relative_gain_interval",
    "sharpe",
    "shortfall_sums",
    "transition_counts",
]
