"""Exponentially weighted moving average of squared returns, and its Student-t tail.

The recursion of RiskMetrics (J.P. Morgan and Reuters 1996, Technical Document, section 5.2),
`v_t = lambda v_{t-1} + (1 - lambda) r_t^2`, with `lambda = 0.5^(1 / half_life)` and a zero mean.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.baselines.forecast import (
    WARM_UP_BARS,
    FloatArray,
    TailForecast,
    checked_history,
    checked_levels,
    student_t_tail,
)
from fedtrade.baselines.recursion import first_order

HALF_LIFE_BARS = 11.0
DOF = 6.0


def ewma_variance(returns: ArrayLike, half_life: float, warm_up: int = WARM_UP_BARS) -> FloatArray:
    """Variance of the next return after seeing each bar, by exponential weights.

    The recursion starts from the mean square of the first `warm_up` returns, which is the value
    at the last of them; it is NaN before.

    Parameters
    ----------
    returns : array of shape (n,) or (n, n_assets)
        Simple returns. Leading values of a column may be NaN: its history starts at its first
        return. A return missing later makes the rest of the column NaN.
    half_life : float
        In bars.

    Returns
    -------
    ndarray of the shape of `returns`
        Entry t is made of returns up to bar t and forecasts bar t+1.
    """
    if not half_life > 0.0:
        raise ValueError(f"half_life must be positive, got {half_life}.")
    decay = 0.5 ** (1.0 / half_life)
    return _from_first_return(returns, lambda squares: _recursion(squares, decay, warm_up), warm_up)


def expanding_variance(returns: ArrayLike, warm_up: int = WARM_UP_BARS) -> FloatArray:
    """Variance of the next return after seeing each bar: mean square since the first return.

    Shapes, missing returns and warm-up are those of `ewma_variance`.
    """
    return _from_first_return(returns, lambda squares: _running_mean(squares, warm_up), warm_up)


def ewma_t6(returns: ArrayLike, n_train: int, levels: Sequence[float] | FloatArray) -> TailForecast:
    """Tail of an EWMA volatility of half-life 11 bars under a Student-t with 6 degrees of freedom.

    Nothing is estimated; see `TailForecaster` for the arguments. Needs 20 training returns.
    """
    history = checked_history(returns, n_train, WARM_UP_BARS)
    variance = ewma_variance(history, HALF_LIFE_BARS)
    return student_t_tail(variance, n_train, checked_levels(levels), DOF)


def _from_first_return(
    returns: ArrayLike, run: Callable[[FloatArray], FloatArray], warm_up: int
) -> FloatArray:
    """Apply `run` to the squared returns of each column from its first return on."""
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"returns must have shape (n,) or (n, n_assets), got {values.shape}.")
    if warm_up < 1:
        raise ValueError(f"warm_up must be at least 1 bar, got {warm_up}.")
    squares = np.square(values).reshape(len(values), -1)
    known = ~np.isnan(squares)
    first = np.where(known.any(axis=0), known.argmax(axis=0), len(squares))
    variance = np.full_like(squares, np.nan)
    # Few distinct starts, many columns: one filter call for each start.
    for start in np.unique(first):
        if start + warm_up <= len(squares):
            columns = first == start
            variance[start:, columns] = run(squares[start:, columns])
    return variance.reshape(values.shape)


def _recursion(squares: FloatArray, decay: float, warm_up: int) -> FloatArray:
    variance = np.full_like(squares, np.nan)
    start = squares[:warm_up].mean(axis=0)
    variance[warm_up - 1] = start
    variance[warm_up:] = first_order((1.0 - decay) * squares[warm_up:], decay, start)
    return variance


def _running_mean(squares: FloatArray, warm_up: int) -> FloatArray:
    variance = np.cumsum(squares, axis=0) / np.arange(1.0, len(squares) + 1.0)[:, None]
    variance[: warm_up - 1] = np.nan
    return variance
