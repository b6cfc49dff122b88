"""A fixed mixture of EWMA variances over several horizons, and its Student-t tail.

The idea is that of the heterogeneous autoregression (Corsi 2009, Journal of Financial
Econometrics 7(2)) with weights set beforehand instead of estimated: no parameter is
fitted, so a short history costs it nothing. It is the hardest of the naive models to beat.
"""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from fedtrade.baselines.ewma import ewma_variance, expanding_variance
from fedtrade.baselines.forecast import (
    WARM_UP_BARS,
    FloatArray,
    TailForecast,
    checked_history,
    checked_levels,
    student_t_tail,
)

HALF_LIFE_WEIGHTS = {2.5: 0.25, 11.0: 0.40, 33.0: 0.20}
EXPANDING_WEIGHT = 0.15
DOF = 6.0


def har_mix_variance(returns: ArrayLike) -> FloatArray:
    """Variance of the next return after seeing each bar.

    0.25 of the EWMA of half-life 2.5 bars, 0.40 of 11, 0.20 of 33 and 0.15 of the mean square
    since the first return. Shapes, missing returns and the warm-up of 20 bars are those of
    `ewma_variance`.
    """
    variance = EXPANDING_WEIGHT * expanding_variance(returns)
    for half_life, weight in HALF_LIFE_WEIGHTS.items():
        variance += weight * ewma_variance(returns, half_life)
    return variance


def har_mix_t6(
    returns: ArrayLike, n_train: int, levels: Sequence[float] | FloatArray
) -> TailForecast:
    """Tail of the variance mixture under a Student-t with 6 degrees of freedom.

    Nothing is estimated; see `TailForecaster` for the arguments. Needs 20 training returns.
    """
    history = checked_history(returns, n_train, WARM_UP_BARS)
    return student_t_tail(har_mix_variance(history), n_train, checked_levels(levels), DOF)
