import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedtrade.evaluation.comparison import mean_t
from fedtrade.evaluation.rank_correlation import rank_ic, rank_ic_summary


def test_hand_computed() -> None:
    """Same order, opposite order, and one swap of neighbours: 1 - 6 * 2 / (4 * 15) = 0.8."""
    signal = np.tile([1.0, 2.0, 3.0, 4.0], (3, 1))
    returns = np.array([[0.1, 0.2, 0.3, 0.9], [4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0]])
    np.testing.assert_allclose(rank_ic(signal, returns), [1.0, -1.0, 0.8])


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_agrees_with_scipy_with_ties_and_gaps(n_assets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal, returns = rng.integers(0, 4, (2, 5, n_assets)).astype(float)
    signal[rng.random(signal.shape) < 0.2] = np.nan
    returns[rng.random(returns.shape) < 0.2] = np.nan
    for ic, a, b in zip(rank_ic(signal, returns), signal, returns, strict=True):
        known = ~(np.isnan(a) | np.isnan(b))
        a, b = a[known], b[known]
        if known.sum() < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            assert np.isnan(ic)
        else:
            assert ic == pytest.approx(stats.spearmanr(a, b).statistic)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_only_the_order_matters(seed: int) -> None:
    signal, returns = np.random.default_rng(seed).standard_normal((2, 4, 6))
    np.testing.assert_allclose(rank_ic(np.exp(signal), returns), rank_ic(signal, returns))
    np.testing.assert_allclose(rank_ic(-signal, returns), -rank_ic(signal, returns))
    permuted = np.random.default_rng(seed).permutation(6)
    np.testing.assert_allclose(
        rank_ic(signal[:, permuted], returns[:, permuted]), rank_ic(signal, returns)
    )


def test_summary_leaves_gaps_out() -> None:
    ic = np.array([0.1, np.nan, 0.3, -0.1])
    summary = rank_ic_summary(ic, lags=0)
    assert summary == pytest.approx((0.1, mean_t([0.1, 0.3, -0.1], lags=0), 3))
    empty = rank_ic_summary([np.nan])
    assert np.isnan(empty.mean)
    assert np.isnan(empty.t)
    assert empty.n_bars == 0


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        rank_ic(np.zeros((2, 3)), np.zeros((3, 2)))
