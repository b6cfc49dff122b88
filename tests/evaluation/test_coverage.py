from fractions import Fraction
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedtrade.evaluation.coverage import (
    breaches,
    christoffersen,
    hit_counts,
    kupiec,
    transition_counts,
)

counts = st.integers(0, 500)
levels = st.floats(0.001, 0.3)


def test_breaches_are_strictly_below_and_keep_gaps() -> None:
    hits = breaches([-0.03, -0.02, -0.01, np.nan, -0.5], [-0.02, -0.02, -0.02, -0.02, np.nan])
    np.testing.assert_array_equal(hits, [1.0, 0.0, 0.0, np.nan, np.nan])
    assert hit_counts(hits) == (3, 1)


def test_hand_counted_transitions() -> None:
    """0011 0: 0-0, 0-1, 1-1, 1-0; the gap breaks 0-NaN-1, and columns are not joined."""
    hits = [0, 0, 1, 1, 0, np.nan, 1]
    assert transition_counts(hits) == (1, 1, 1, 1)
    assert transition_counts(np.array([hits, hits]).T) == (2, 2, 2, 2)
    assert transition_counts([1.0]) == (0, 0, 0, 0)
    assert transition_counts([True, False]) == (0, 0, 1, 0)


def test_kupiec_of_the_nominal_frequency_is_zero() -> None:
    assert kupiec(1000, 10, 0.01) == (0.0, 1.0)


def test_kupiec_hand_computed() -> None:
    """4 breaches in 100 at 2 %: 2 (4 log 2 + 96 log(96/98))."""
    test = kupiec(100, 4, 0.02)
    expected = 2 * (4 * log(2) + 96 * log(96 / 98))
    assert test.statistic == pytest.approx(expected)
    assert test.p_value == pytest.approx(stats.chi2.sf(expected, 1))


def test_kupiec_without_breaches() -> None:
    """Kupiec's own corner: -2 n log(1 - level)."""
    assert kupiec(250, 0, 0.01).statistic == pytest.approx(-500 * log(0.99))
    assert np.isnan(kupiec(0, 0, 0.01)).all()


@settings(deadline=None)
@given(st.integers(1, 2000), st.floats(0, 1), levels)
def test_kupiec_agrees_with_the_g_test(n: int, share: float, level: float) -> None:
    """The likelihood ratio of a binomial is the power divergence of order zero."""
    hits = round(n * share)
    oracle = stats.power_divergence(
        [hits, n - hits], [n * level, n * (1 - level)], lambda_="log-likelihood"
    )
    test = kupiec(n, hits, level)
    assert test.statistic == pytest.approx(oracle.statistic, abs=1e-8)
    assert test.p_value == pytest.approx(oracle.pvalue, abs=1e-8)


def test_independence_agrees_with_a_contingency_table() -> None:
    """Christoffersen's independence is the G test of the two-by-two table of transitions."""
    oracle = stats.chi2_contingency(
        [[900, 40], [56, 4]], correction=False, lambda_="log-likelihood"
    )
    independence, _ = christoffersen(900, 40, 56, 4, 0.05)
    assert independence.statistic == pytest.approx(oracle.statistic)
    assert independence.p_value == pytest.approx(oracle.pvalue)


@settings(deadline=None)
@given(counts, counts, counts, counts, levels)
def test_conditional_coverage_is_the_sum_of_its_parts(
    n00: int, n01: int, n10: int, n11: int, level: float
) -> None:
    """LR_cc = LR_uc + LR_ind, the first on the bars that end a transition."""
    total = n00 + n01 + n10 + n11
    test = christoffersen(n00, n01, n10, n11, level)
    if total == 0:
        assert np.isnan(test.conditional_coverage).all()
        return
    assert test.independence.statistic >= 0.0
    parts = kupiec(total, n01 + n11, level).statistic + test.independence.statistic
    assert test.conditional_coverage.statistic == pytest.approx(parts, abs=1e-6)
    assert test.conditional_coverage.p_value == pytest.approx(stats.chi2.sf(parts, 2), abs=1e-6)


def test_clustered_breaches_are_rejected_and_proportional_ones_are_not() -> None:
    assert christoffersen(960, 20, 20, 20, 0.04).independence.p_value < 1e-6
    exact = Fraction(1, 25)
    assert christoffersen(24 * 24, 24, 24, 1, float(exact)) == ((0.0, 1.0), (0.0, 1.0))


def test_no_breach_gives_no_evidence_of_dependence() -> None:
    assert christoffersen(249, 0, 0, 0, 0.01).independence == (0.0, 1.0)


def test_bad_counts_are_named() -> None:
    with pytest.raises(ValueError, match=r"hits must be in \[0, n = 5\], got 6"):
        kupiec(5, 6, 0.01)
    with pytest.raises(ValueError, match="must not be negative"):
        christoffersen(1, -1, 0, 0, 0.01)
    for bad in (0.0, 1.0):
        with pytest.raises(ValueError, match="level must be in"):
            kupiec(5, 1, bad)
        with pytest.raises(ValueError, match="level must be in"):
            christoffersen(5, 1, 1, 1, bad)
