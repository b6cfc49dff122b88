"""Sharpe ratios: annualised, probabilistic, and deflated by the number of trials.

Bailey and Lopez de Prado (2012), "The Sharpe ratio efficient frontier", Journal of Risk 15(2),
and (2014), "The deflated Sharpe ratio", Journal of Portfolio Management 40(5). Returns are per
bar, in excess of the risk-free rate where that matters; NaN values are left out. A series without
variance, or with fewer than three returns, gives NaN.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sharpe(returns: ArrayLike) -> float:
    """Mean over sample standard deviation of the returns of shape (n,), per bar."""
    values = _known(returns)
    if values.size < 3 or np.ptp(values) <= 1e-14 * np.abs(values).max():
        return float("nan")
    return float(values.mean() / values.std(ddof=1))


def annualised_sharpe(returns: ArrayLike, bars_per_year: float) -> float:
    """Sharpe ratio per bar times the root of `bars_per_year` (252 for trading days)."""
    if not bars_per_year > 0.0:
        raise ValueError(f"bars_per_year must be positive, got {bars_per_year}.")
    return sharpe(returns) * float(np.sqrt(bars_per_year))


def probabilistic_sharpe(returns: ArrayLike, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark` (per bar, not annualised).

    Accounts for the length of the series, its skew and its kurtosis (2012).
    """
    values = _known(returns)
    if np.isnan(sharpe(values)):
        return float("nan")
    from skfolio.measures import probabilistic_sharpe_ratio

    return float(probabilistic_sharpe_ratio(values, benchmark_sharpe_ratio=benchmark))


def deflated_sharpe(returns: ArrayLike, n_trials: int, trial_std: float | None = None) -> float:
    """Probability that the true Sharpe ratio is positive although the best of trials was chosen.

    The benchmark is the largest Sharpe ratio expected of `n_trials` independent trials without
    skill (2014); one trial gives the probabilistic Sharpe ratio.

    Parameters
    ----------
    n_trials : int
        All configurations looked at before this one was chosen, at least 1. Correlated trials
        count as independent, which is strict.
    trial_std : float, optional
        Standard deviation of the trials' Sharpe ratios, per bar. By default the sampling error of
        a ratio whose true value is zero, `1 / sqrt(n - 1)`, for when the trials were not kept.
    """
    if n_trials < 1:
        raise ValueError(f"n_trials must be at least 1, got {n_trials}.")
    values = _known(returns)
    if np.isnan(sharpe(values)):
        return float("nan")
    from skfolio.measures import expected_max_sharpe_ratio

    std = float(1.0 / np.sqrt(values.size - 1.0)) if trial_std is None else trial_std
    return probabilistic_sharpe(values, expected_max_sharpe_ratio(n_trials, std))


def _known(returns: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"returns must be one series of shape (n,), got shape {values.shape}.")
    return values[~np.isnan(values)]
