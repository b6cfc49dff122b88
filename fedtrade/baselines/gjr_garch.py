"""GJR-GARCH(1,1) with Student-t errors, fitted by `arch` and filtered with fixed parameters.

Glosten, Jagannathan and Runkle (1993), Journal of Finance 48(5):
`v_{t+1} = omega + (alpha + gamma 1[r_t < 0]) r_t^2 + beta v_t`, with a zero mean.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.baselines.ewma import ewma_t6
from fedtrade.baselines.forecast import (
    WARM_UP_BARS,
    FloatArray,
    TailForecast,
    checked_history,
    checked_levels,
    student_t_tail,
)
from fedtrade.baselines.recursion import first_order

MIN_FIT_RETURNS = 40


@dataclass(frozen=True, slots=True)
class GjrGarch:
    """Parameters of a fitted model, for returns as fractions.

    `initial_variance` is the variance before the first return, the backcast that the likelihood
    was computed with.
    """

    omega: float
    alpha: float
    gamma: float
    beta: float
    dof: float
    initial_variance: float

    def variance(self, returns: FloatArray) -> FloatArray:
        """Variance of the next return after seeing each bar.

        Parameters
        ----------
        returns : ndarray of shape (n,)
            Leading values may be NaN and give NaN; a return missing later makes the rest NaN.
        """
        variance = np.full_like(returns, np.nan)
        first = int(np.isfinite(returns).argmax())
        known = returns[first:]
        weights = self.alpha + self.gamma * (known < 0.0).astype(np.float64)
        shocks = self.omega + weights * np.square(known)
        # Before the first return, a squared return equal to the backcast, half of it negative.
        start = self.omega + self.initial_variance * (self.alpha + self.gamma / 2.0 + self.beta)
        variance[first:] = first_order(shocks, self.beta, start)
        return variance


def fit_gjr_garch(returns: FloatArray) -> GjrGarch | None:
    """Fit the model by maximum likelihood; None where that fails.

    The returns are divided by their standard deviation for the optimiser, so that scaling them
    scales the model. Failure means fewer than 40 returns, no variance, or an optimiser that
    does not report success at finite parameters with a positive variance.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Without missing values.
    """
    scale = float(np.std(returns)) if returns.size >= MIN_FIT_RETURNS else 0.0
    if scale == 0.0:
        return None
    from arch.univariate import GARCH, StudentsT, ZeroMean

    scaled = returns / scale
    process = GARCH(p=1, o=1, q=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ZeroMean(scaled, volatility=process, distribution=StudentsT(), rescale=False)
        fit = model.fit(disp="off", show_warning=False)
    # The optimiser's own answer: `fit.params` would build a pandas Series.
    optimum = fit.optimization_result
    omega, alpha, gamma, beta, dof = (float(value) for value in optimum.x)
    if optimum.status != 0 or not np.isfinite(optimum.x).all() or omega <= 0.0:
        return None
    # SLSQP keeps to its bounds up to rounding only, and a variance must not turn negative.
    alpha, beta = max(alpha, 0.0), max(beta, 0.0)
    gamma = max(gamma, -alpha)
    backcast = float(process.backcast(scaled))
    return GjrGarch(omega * scale**2, alpha, gamma, beta, dof, backcast * scale**2)


def gjr_garch_t(
    returns: ArrayLike, n_train: int, levels: Sequence[float] | FloatArray
) -> TailForecast:
    """Tail of a GJR-GARCH(1,1)-t fitted on the training period and filtered on.

    Falls back to `ewma_t6` where the fit fails (see `fit_gjr_garch`, which tells a caller who
    wants to count that). See `TailForecaster` for the arguments; needs 20 training returns.
    """
    history = checked_history(returns, n_train, WARM_UP_BARS)
    training = history[:n_train]
    model = fit_gjr_garch(training[np.isfinite(training)])
    if model is None:
        return ewma_t6(history, n_train, levels)
    return student_t_tail(model.variance(history), n_train, checked_levels(levels), model.dof)
