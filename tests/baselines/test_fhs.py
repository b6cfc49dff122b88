import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.baselines.ewma import ewma_variance
from fedtrade.baselines.fhs import empirical_tail, fhs


def test_hand_computed_tail() -> None:
    """Five values sit at 1/8, 5/16, 1/2, ...: the median is the third, 1/16 the smallest.

    At 1/2 the quantile function is 1 up to 1/8, then rises by 3/16 a piece to 2 and 3, so its
    integral is 1/8 + 3/16 * 1.5 + 3/16 * 2.5 = 7/8 and the tail mean 7/4.
    """
    quantile, tail_mean = empirical_tail(
        np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([0.0625, 0.5])
    )
    np.testing.assert_allclose(quantile, [1.0, 3.0])
    np.testing.assert_allclose(tail_mean, [1.0, 1.75])


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0.001, 0.499), st.integers(0, 2**32 - 1))
def test_matches_numpy_and_a_fine_sum(n: int, level: float, seed: int) -> None:
    """The quantile is numpy's median-unbiased one, the tail mean its average over (0, level)."""
    sample = np.random.default_rng(seed).standard_normal(n)
    quantile, tail_mean = empirical_tail(sample, np.array([level]))
    assert quantile[0] == pytest.approx(np.quantile(sample, level, method="median_unbiased"))
    midpoints = level * (np.arange(4000) + 0.5) / 4000
    average = np.quantile(sample, midpoints, method="median_unbiased").mean()
    assert tail_mean[0] == pytest.approx(average, abs=1e-3)
    assert tail_mean[0] <= quantile[0]


def test_forecast_scales_training_residuals_by_current_volatility() -> None:
    returns = np.random.default_rng(3).standard_normal(120) * 0.01
    var, es = fhs(returns, 100, [0.05])
    volatility = np.sqrt(ewma_variance(returns, 11.0))
    residuals = np.array([returns[t] / volatility[t - 1] for t in range(20, 100)])
    quantile = np.quantile(residuals, 0.05, method="median_unbiased")
    np.testing.assert_allclose(var[:, 0], volatility[99:119] * quantile, rtol=1e-12)
    np.testing.assert_allclose(es / var, np.full((20, 1), es[0, 0] / var[0, 0]), rtol=1e-12)


def test_an_asset_that_does_not_move_is_refused() -> None:
    with pytest.raises(ValueError, match="moved in only 0 of 60"):
        fhs(np.zeros(70), 60, [0.01])
