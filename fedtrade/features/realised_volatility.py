"""Realised variance of each bar, and what an asset's own past says about its next values.

The features follow the heterogeneous autoregression of Corsi (2009, "A simple approximate
long-memory model of realized volatility", Journal of Financial Econometrics 7(2)): the variance of
the last bar, the last 5 and the last 22, each relative to a base variance, hence free of scale.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.baselines.har_mix import har_mix_variance
from fedtrade.features.volatility import FLOOR, VolatilityState, volatility_state
from fedtrade.market.panel import Panel

__all__ = ["N_HAR", "RealisedVolatility", "mean_over", "realised_variance", "realised_volatility"]

FloatArray = NDArray[np.float64]

N_HAR = 5
"""Features that `RealisedVolatility.har_features` gives."""
WEEK, MONTH = 5, 22
LEAST_MOVE = 0.01
"""Least move of a bar as a share of the slow volatility: a price that stood still is rounding."""
LEAST_RATIO = 0.01
ROUNDING = 1e-6
"""By how much a high may lie below the close, as a share: adjusted prices are rounded."""


class RealisedVolatility(NamedTuple):
    """Realised variances and what is known after each bar; each of shape (n_bars, n_assets).

    Attributes
    ----------
    has_range
        Whether the variance rests on the bar's range and not on its return alone.
    variance
        Realised variance of the bar, floored at 1e-4 times the mean of all bars before it, so
        that it has a logarithm; NaN in the first row, unfloored in the warm-up.
    base
        Forecast of the next bar's variance that nothing is fitted for: `har_mix_variance` of the
        realised variances. NaN during the warm-up of 20 returns.
    state
        Volatilities and shocks of the realised volatility with the sign of the return.
    """

    has_range: NDArray[np.bool_]
    variance: FloatArray
    base: FloatArray
    state: VolatilityState

    def har_features(self) -> FloatArray:
        """Five numbers of shape (n_bars, n_assets, 5), NaN in the first 22 rows.

        With v the variance and b the base: `log(0.1 + sqrt(v / b))`, then half the logarithm of
        the mean of v over 5 bars, over 22 bars and over all bars, each divided by b; and
        `min(shock, 0)`, the leverage effect (Corsi and Renò 2012, Journal of Business and Economic
        Statistics 30(3)).
        """
        means = [
            mean_over(self.variance, WEEK),
            mean_over(self.variance, MONTH),
            np.square(self.state.s_all),
        ]
        logs = [0.5 * np.log(np.maximum(mean / self.base, LEAST_RATIO)) for mean in means]
        daily = np.log(0.1 + np.sqrt(self.variance / self.base))
        return np.stack([daily, *logs, np.minimum(self.state.shock, 0.0)], axis=-1)


def realised_volatility(panel: Panel) -> RealisedVolatility:
    """Follow the realised volatility of each asset; row t uses prices up to bar t."""
    returns = panel.returns()
    variance, has_range = realised_variance(panel)
    signed = np.where(returns < 0.0, -1.0, 1.0) * np.sqrt(variance)
    state = volatility_state(signed)
    before = np.vstack([np.full((1, variance.shape[1]), np.nan), state.s_all[:-1]])
    floor = np.square(LEAST_MOVE * before)
    base = np.maximum(har_mix_variance(signed), np.square(FLOOR * state.s_all))
    floored = np.where(variance < floor, floor, variance)
    return RealisedVolatility(has_range, floored, base, state)


def realised_variance(panel: Panel) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Realised variance of each bar, and where it rests on the bar's range.

    Where open, high and low are known and consistent: the squared logarithmic return from the
    last close to the open, plus the variance within the bar by Garman and Klass (1980, "On the
    estimation of security price volatilities from historical data", Journal of Business 53(1)),
    `0.5 log(high/low)^2 - (2 log 2 - 1) log(close/open)^2`. Its error is a fraction of that of the
    squared return, which is used elsewhere. Both are unbiased for a price without drift, the
    range only if it is watched all the time: thin trading misses extremes and lowers it.

    Returns
    -------
    variance : float64 of shape (n_bars, n_assets)
        NaN in the first row and wherever there is no return.
    has_range : bool of shape (n_bars, n_assets)
    """
    squares = np.square(panel.returns())
    ohlv = panel.ohlv or {}
    if not {"open", "high", "low"} <= ohlv.keys():
        return squares, np.zeros(squares.shape, dtype=bool)
    first, high, low = ohlv["open"], ohlv["high"], ohlv["low"]
    within = 0.5 * np.square(np.log(high / low))
    within -= (2.0 * np.log(2.0) - 1.0) * np.square(np.log(panel.close / first))
    overnight = np.full_like(squares, np.nan)
    overnight[1:] = np.square(np.log(first[1:] / panel.close[:-1]))
    ends = np.minimum(first, panel.close), np.maximum(first, panel.close)
    has_range = (low <= ends[0] * (1.0 + ROUNDING)) & (high >= ends[1] * (1.0 - ROUNDING))
    has_range &= np.isfinite(overnight + within)
    return np.where(has_range, overnight + np.maximum(within, 0.0), squares), has_range


def mean_over(values: FloatArray, n_bars: int) -> FloatArray:
    """Mean of the last `n_bars` rows, shape as `values`; NaN where one of them is missing."""
    out = np.full_like(values, np.nan)
    if len(values) >= n_bars:
        windows = np.lib.stride_tricks.sliding_window_view(values, n_bars, axis=0)
        out[n_bars - 1 :] = windows.mean(axis=-1)
    return out
