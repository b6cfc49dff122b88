"""Tests of value at risk by its breaches, from counts that participants can add up.

Every statistic is a function of a few counts, so a consortium can sum the counts of its members
and test the total without seeing anyone's returns. The p-values of such a total treat the
members' breaches as independent; a market shock breaks many at once, so read a small p-value of
a total as an upper bound on the evidence.

Kupiec (1995), "Techniques for verifying the accuracy of risk measurement models", Journal of
Derivatives 3(2); Christoffersen (1998), "Evaluating interval forecasts", International Economic
Review 39(4).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class LikelihoodRatioTest(NamedTuple):
    """A likelihood-ratio statistic and its p-value under the chi-squared limit."""

    statistic: float
    p_value: float


class HitCounts(NamedTuple):
    """Bars with a forecast and a return, and the breaches among them."""

    n: int
    hits: int


class TransitionCounts(NamedTuple):
    """Pairs of consecutive bars: `n01` counts a bar without a breach followed by one with."""

    n00: int
    n01: int
    n10: int
    n11: int


class ChristoffersenTest(NamedTuple):
    """Independence of breaches, and independence together with the right frequency."""

    independence: LikelihoodRatioTest
    conditional_coverage: LikelihoodRatioTest


def breaches(returns: ArrayLike, var: ArrayLike) -> NDArray[np.float64]:
    """1 where the return lies below the value at risk, 0 where not, NaN where either is missing."""
    r, v = np.broadcast_arrays(np.asarray(returns, np.float64), np.asarray(var, np.float64))
    return np.where(np.isnan(r) | np.isnan(v), np.nan, (r < v).astype(np.float64))


def hit_counts(hits: ArrayLike) -> HitCounts:
    """Count the entries and the ones of a breach array of any shape, leaving NaN out."""
    values = np.asarray(hits, dtype=np.float64)
    known = values[~np.isnan(values)]
    return HitCounts(n=known.size, hits=int(known.sum()))


def transition_counts(hits: ArrayLike) -> TransitionCounts:
    """Count the transitions along the first axis.

    Parameters
    ----------
    hits : array of shape (n,) or (n, n_assets)
        As from `breaches`. A pair with a NaN is left out; columns are never joined end to end.
    """
    values = np.asarray(hits, dtype=np.float64)
    before, after = values[:-1], values[1:]
    known = ~(np.isnan(before) | np.isnan(after))
    code = (2 * before[known] + after[known]).astype(np.int64)
    return TransitionCounts(*np.bincount(code, minlength=4).tolist())


def kupiec(n: int, hits: int, level: float) -> LikelihoodRatioTest:
    """Proportion-of-failures test of breaches being as frequent as `level`.

    Two-sided (too few breaches count as well), one degree of freedom. NaN where `n` is zero.
    """
    _check_level(level)
    if not 0 <= hits <= n:
        raise ValueError(f"hits must be in [0, n = {n}], got {hits}.")
    if n == 0:
        return LikelihoodRatioTest(float("nan"), float("nan"))
    return _likelihood_ratio(
        _bernoulli(n - hits, hits, level), _bernoulli(n - hits, hits, hits / n), dof=1
    )


def christoffersen(n00: int, n01: int, n10: int, n11: int, level: float) -> ChristoffersenTest:
    """Independence and conditional-coverage tests from transition counts.

    Independence (one degree of freedom) asks whether a breach is as likely after a breach as
    after none; conditional coverage (two) also asks whether that likelihood is `level`. Both
    condition on each series' first bar. Without any transition they are NaN; without a breach to
    start from, independence cannot be rejected (statistic 0).
    """
    _check_level(level)
    if min(n00, n01, n10, n11) < 0:
        raise ValueError(f"transition counts must not be negative, got {n00, n01, n10, n11}.")
    total, hits = n00 + n01 + n10 + n11, n01 + n11
    if total == 0:
        missing = LikelihoodRatioTest(float("nan"), float("nan"))
        return ChristoffersenTest(missing, missing)
    markov = _bernoulli(n00, n01, n01 / max(n00 + n01, 1)) + _bernoulli(
        n10, n11, n11 / max(n10 + n11, 1)
    )
    constant = _bernoulli(total - hits, hits, hits / total)
    nominal = _bernoulli(total - hits, hits, level)
    return ChristoffersenTest(
        independence=_likelihood_ratio(constant, markov, dof=1),
        conditional_coverage=_likelihood_ratio(nominal, markov, dof=2),
    )


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}.")


def _bernoulli(misses: int, hits: int, probability: float) -> float:
    """Log-likelihood of independent breaches, with 0 log 0 = 0."""
    from scipy.special import xlog1py, xlogy

    return float(xlog1py(misses, -probability) + xlogy(hits, probability))


def _likelihood_ratio(restricted: float, free: float, dof: int) -> LikelihoodRatioTest:
    from scipy.special import chdtrc

    statistic = max(2.0 * (free - restricted), 0.0)  # rounding may leave -1e-16
    return LikelihoodRatioTest(statistic, float(chdtrc(dof, statistic)))
