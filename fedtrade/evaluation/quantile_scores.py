"""Scores of value-at-risk and expected-shortfall forecasts, bar by bar; smaller is better.

Forecasts are return quantiles: `es <= var < 0`. All arguments broadcast against each other, e.g.
returns (n, 1) and forecasts (n, n_levels) with levels (n_levels,). A NaN argument gives NaN.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pinball(returns: ArrayLike, var: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
    """Quantile score `(level - 1[r < var]) (r - var)`, in the unit of the returns.

    Koenker and Bassett (1978), Econometrica 46(1); its mean is least at the true quantile.
    """
    r, v, a = _floats(returns, var, level)
    return np.asarray((a - (r < v)) * (r - v), dtype=np.float64)


def fz0(returns: ArrayLike, var: ArrayLike, es: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
    """Joint score of value at risk and expected shortfall, of degree zero.

    `-1[r <= var] (var - r) / (level es) + var / es + log(-es) - 1`: Patton, Ziegel and Chen
    (2019), "Dynamic semiparametric models for expected shortfall (and value-at-risk)", Journal
    of Econometrics 211(2), equation 6. Differences between two forecasts do not depend on the
    unit of the returns; the score itself shifts by the unit's logarithm and may be negative, so
    compare by differences, not by ratios. NaN where `es >= 0`, where the score is not defined.
    """
    r, v, e, a = _floats(returns, var, es, level)
    e = np.where(e < 0.0, e, np.nan)
    excess = np.where(r <= v, v - r, 0.0 * r)  # 0 * r keeps a missing return missing
    return np.asarray(-excess / (a * e) + v / e + np.log(-e) - 1.0, dtype=np.float64)


def _floats(*values: ArrayLike) -> list[NDArray[np.float64]]:
    *data, level = (np.asarray(value, dtype=np.float64) for value in values)
    if not np.all((level > 0.0) & (level < 1.0)):
        raise ValueError(f"level must be in (0, 1), got {level.tolist()}.")
    return [*data, level]
