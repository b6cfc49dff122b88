"""Acerbi and Szekely's second test of expected shortfall, from sums that participants can add up.

Acerbi and Szekely (2014), "Backtesting expected shortfall", Risk, December; test 2. With our sign
(returns, so that `es` is negative) it reads
`Z2 = 1 - sum_t 1[r_t < var_t] r_t / (n level es_t)`. Its mean is zero under correct forecasts and
negative where the risk is underestimated: -1 means tail losses of twice what was forecast. It
reacts to the frequency of breaches and to their size alike.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.evaluation.coverage import breaches


class ShortfallSums(NamedTuple):
    """Bars counted, and the sum and sum of squares of `1[r < var] r / (level es)` over them."""

    n: int
    total: float
    total_squares: float


class ShortfallTest(NamedTuple):
    """The statistic and its one-sided p-value, small where risk is underestimated."""

    statistic: float
    p_value: float


def shortfall_sums(
    returns: ArrayLike, var: ArrayLike, es: ArrayLike, level: float
) -> ShortfallSums:
    """Sums that `acerbi_szekely_z2` needs; add those of several participants entry by entry.

    Parameters
    ----------
    returns, var, es : arrays of one shape (they broadcast), any number of axes
        Bars with a NaN among the three are left out, as are those whose `es` is not negative
        (no volatility), where the test is not defined.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}.")
    r, v, e = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (returns, var, es))
    )
    terms = breaches(r, v) * r / (level * np.where(e < 0.0, e, np.nan))
    terms = terms[~np.isnan(terms)]
    return ShortfallSums(terms.size, float(terms.sum()), float(np.square(terms).sum()))


def acerbi_szekely_z2(n: int, total: float, total_squares: float) -> ShortfallTest:
    """Z2 and its p-value from sums.

    The p-value is that of a normal with the terms' own sample variance: under correct forecasts
    `1 - term` is a martingale difference, so no model of the returns needs simulating. With few
    expected breaches the statistic is skewed to the left and the p-value rough; the paper's
    simulated critical values for 250 bars at 2.5 % are -0.70 (5 % significance) and -1.8
    (0.01 %), nearly the same for all usual tails. Summed over participants the p-value treats
    them as independent. Without breaches Z2 is 1 and the p-value 1; NaN where `n` is zero.
    """
    from scipy.special import ndtr

    if n == 0:
        return ShortfallTest(float("nan"), float("nan"))
    mean = total / n
    variance = max(total_squares / n - mean * mean, 0.0)
    statistic = 1.0 - mean
    if variance == 0.0:
        return ShortfallTest(statistic, 1.0 if statistic >= 0.0 else 0.0)
    return ShortfallTest(statistic, float(ndtr(statistic / np.sqrt(variance / n))))
