import numpy as np
import pytest

from fedtrade.baselines.ewma import ewma_variance
from fedtrade.baselines.har_mix import EXPANDING_WEIGHT, HALF_LIFE_WEIGHTS, har_mix_variance


def test_weights_sum_to_one() -> None:
    assert sum(HALF_LIFE_WEIGHTS.values()) + EXPANDING_WEIGHT == pytest.approx(1.0)


def test_constant_squares_are_reproduced() -> None:
    variance = har_mix_variance(0.03 * (-1.0) ** np.arange(50))
    np.testing.assert_allclose(variance[19:], 9e-4)


def test_mixes_the_four_horizons() -> None:
    returns = np.random.default_rng(1).standard_normal(80)
    expected = (
        0.25 * ewma_variance(returns, 2.5)
        + 0.40 * ewma_variance(returns, 11.0)
        + 0.20 * ewma_variance(returns, 33.0)
    )[-1] + 0.15 * np.mean(returns**2)
    assert har_mix_variance(returns)[-1] == pytest.approx(expected, rel=1e-12)
