"""Quantile and expected shortfall of the Student-t distribution with unit variance.

A Student-t variable with `dof` degrees of freedom has variance `dof / (dof - 2)`; here it is
divided by its standard deviation, so that a forecast is volatility times the value below. The
shortfall follows from the density f at the quantile q (McNeil, Frey and Embrechts 2015,
Quantitative Risk Management, example 2.15):
`ES = -f(q) / level * (dof + q^2) / (dof - 1)`.

SciPy has the quantile, and takes longer to load than a participant's whole answer. Here Newton's
method inverts the distribution function, an incomplete beta function, of which there is a continued
fraction (https://dlmf.nist.gov/8.17.E22).
"""

from functools import lru_cache
from math import exp, lgamma, log, log1p, pi
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_STEPS: Final = 500
MOST_TERMS: Final = 10_000
PRECISION: Final = 1e-15


def student_t_quantile(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    """Quantile at `level` (any shape, in (0, 1)); negative below one half."""
    return _standard_quantile(level, dof) * _unit_variance_scale(dof)


def student_t_shortfall(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    """Mean of the values below the quantile at `level` (any shape, in (0, 1))."""
    q = _standard_quantile(level, dof)
    density = np.exp(_log_norm(dof) - (dof + 1) / 2 * np.log1p(q * q / dof))
    tail_mean = -density / np.asarray(level) * (dof + q * q) / (dof - 1)
    return np.asarray(tail_mean * _unit_variance_scale(dof), dtype=np.float64)


def _standard_quantile(level: ArrayLike, dof: float) -> NDArray[np.float64]:
    probability = np.asarray(level, dtype=np.float64)
    if not dof > 0.0:
        raise ValueError(f"dof must be positive, got {dof}.")
    if not np.all((probability > 0.0) & (probability < 1.0)):
        raise ValueError(f"level must be in (0, 1), got {level!r}.")
    found = [_one_quantile(float(p), float(dof)) for p in probability.ravel()]
    return np.array(found, dtype=np.float64).reshape(probability.shape)


@lru_cache(maxsize=1024)
def _one_quantile(probability: float, dof: float) -> float:
    """Newton's method from the middle: the distribution is convex there, so no step overshoots."""
    if probability > 0.5:
        return -_one_quantile(1.0 - probability, dof)
    q = 0.0
    log_norm = _log_norm(dof)
    for _ in range(MOST_STEPS):
        density = exp(log_norm - (dof + 1) / 2 * log1p(q * q / dof))
        step = (_below(q, dof) - probability) / density
        q -= step
        if step <= PRECISION * abs(q):
            break
    return q


def _below(q: float, dof: float) -> float:
    """The probability of less than q, which is not above zero."""
    square = q * q
    x, rest = dof / (dof + square), square / (dof + square)
    a = dof / 2
    if x <= (a + 1.0) / (a + 2.5):  # where the fraction converges fast
        return 0.5 * _incomplete_beta(x, rest, a, 0.5)
    return 0.5 - 0.5 * _incomplete_beta(rest, x, 0.5, a)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Regularised, for x and 1 - x; the fraction from its front (Lentz's method)."""
    if x == 0.0:
        return 0.0
    log_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
    above, below = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = exp(a * log(x) + b * log(rest) - log_beta) / a * below
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            above, below = 1.0 + term / above, 1.0 / (1.0 + term * below)
            value *= above * below
        if abs(above * below - 1.0) < PRECISION:
            break
    return value


def _log_norm(dof: float) -> float:
    """The logarithm of the density at zero."""
    return lgamma((dof + 1) / 2) - lgamma(dof / 2) - 0.5 * log(dof * pi)


def _unit_variance_scale(dof: float) -> float:
    if not dof > 2.0:
        raise ValueError(f"dof must exceed 2 for the variance to exist, got {dof}.")
    return float(np.sqrt((dof - 2.0) / dof))
