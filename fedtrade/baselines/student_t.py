"""Quantile and expected shortfall of the Student-t distribution with unit variance.

A Student-t variable with `dof` degrees of freedom has variance `dof / (dof - 2)`; here it is
divided by its standard deviation, so that a forecast is volatility times the value below. The
shortfall follows from the density f at the quantile q (McNeil, Frey and Embrechts 2015,
Quantitative Risk Management, example 2.15):
`ES = -f(q) / level * (dof + q^2) / (dof - 1)`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def student_t_quantile(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    """Quantile at `level` (any shape, in (0, 1)); negative below one half."""
    return _standard_quantile(level, dof) * _unit_variance_scale(dof)


def student_t_shortfall(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    """Mean of the values below the quantile at `level` (any shape, in (0, 1))."""
    from scipy.special import gammaln

    q = _standard_quantile(level, dof)
    log_norm = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi)
    density = np.exp(log_norm - (dof + 1) / 2 * np.log1p(q * q / dof))
    tail_mean = -density / np.asarray(level) * (dof + q * q) / (dof - 1)
    return np.asarray(tail_mean * _unit_variance_scale(dof), dtype=np.float64)


def _standard_quantile(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    from scipy.special import stdtrit

    probability = np.asarray(level, dtype=np.float64)
    if not np.all((probability > 0.0) & (probability < 1.0)):
        raise ValueError(f"level must be in (0, 1), got {level!r}.")
    return np.asarray(stdtrit(dof, probability), dtype=np.float64)


def _unit_variance_scale(dof: float) -> float:
    if not dof > 2.0:
        raise ValueError(f"dof must exceed 2 for the variance to exist, got {dof}.")
    return float(np.sqrt((dof - 2.0) / dof))
