"""Filtered historical simulation: empirical tail of standardised returns times today's volatility.

Barone-Adesi, Giannopoulos and Vosper (1999), "VaR without correlations for portfolios of
derivative securities", Journal of Futures Markets 19(5); here with an EWMA filter, as in Hull and
White (1998), "Incorporating volatility updating into the historical simulation method for VaR".
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.baselines.ewma import HALF_LIFE_BARS, ewma_variance
from fedtrade.baselines.forecast import (
    WARM_UP_BARS,
    FloatArray,
    TailForecast,
    checked_history,
    checked_levels,
)

MIN_RESIDUALS = 20


def fhs(returns: ArrayLike, n_train: int, levels: Sequence[float] | FloatArray) -> TailForecast:
    """Tail of the training period's EWMA-standardised returns, scaled by the current EWMA.

    A residual is a training return over the volatility forecast for its bar, so the first 20
    returns (the warm-up) give none. Nothing bounds the residual quantile below zero: an asset
    that never lost in training gets a positive `var`. See `TailForecaster` for the arguments;
    needs 40 training returns.
    """
    probabilities = checked_levels(levels)
    history = checked_history(returns, n_train, WARM_UP_BARS + MIN_RESIDUALS)
    volatility = np.sqrt(ewma_variance(history, HALF_LIFE_BARS))
    scales = volatility[: n_train - 1]
    moving = scales > 0.0  # False in the warm-up (NaN) and where the price has not moved
    if moving.sum() < MIN_RESIDUALS:
        raise ValueError(
            f"the price moved in only {int(moving.sum())} of {n_train} training bars; "
            "leave the asset out."
        )
    residuals = history[1:n_train][moving] / scales[moving]
    var, es = empirical_tail(residuals, probabilities)
    current = volatility[n_train - 1 : -1, None]
    return TailForecast(var=current * var, es=current * es)


def empirical_tail(sample: FloatArray, levels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Quantile and tail mean of a sample.

    The quantile function Q is Hyndman and Fan's (1996) type 8, approximately median-unbiased
    whatever the distribution and the one they recommend: linear between the order statistics
    placed at `(i - 1/3) / (n + 1/3)`, and the smallest value below the first of these. The tail
    mean is the mean of the same Q over (0, level). With few values, `level < 0.67 / (n + 0.33)`,
    both are the sample's smallest value; 40 residuals at 1 % are such a case, where the smallest
    value is nearer to a 1.7 % quantile: expect too many breaches there.

    Parameters
    ----------
    sample : ndarray of shape (n,)
    levels : ndarray of shape (n_levels,)

    Returns
    -------
    quantile, tail_mean : ndarrays of shape (n_levels,)
    """
    ordered = np.sort(sample)
    positions = (np.arange(1.0, ordered.size + 1.0) - 1.0 / 3.0) / (ordered.size + 1.0 / 3.0)
    quantile = np.interp(levels, positions, ordered)
    tail_mean = np.empty_like(quantile)
    for k, level in enumerate(levels):
        grid = np.concatenate(([0.0], positions[positions < level], [level]))
        tail_mean[k] = np.trapezoid(np.interp(grid, positions, ordered), grid) / level
    # Rounding may lift the mean of a flat piece above its value.
    return quantile, np.minimum(tail_mean, quantile)
