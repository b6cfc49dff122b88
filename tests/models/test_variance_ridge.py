import numpy as np
import pytest

from fedtrade.evaluation import qlike
from fedtrade.models.variance_ridge import (
    fit_variance_ridge,
    log_ratios,
    smearing_sum,
    variance_ridge_vector,
)


def test_hand_computed() -> None:
    """Ratios 1 and 3 without features' weight: a mean of 2, half of whose logarithm is kept."""
    weights, ratios = np.zeros((1, 1)), np.array([[1.0], [3.0]])
    smearing = smearing_sum(weights, np.ones((2, 1)), ratios)
    np.testing.assert_array_equal(smearing, [2.0, 4.0])
    np.testing.assert_allclose(
        variance_ridge_vector(weights, smearing, 1.0), [0.5 * np.log(2.0), 0.0], rtol=1e-6
    )


def test_a_price_that_hardly_moved_has_a_logarithm() -> None:
    np.testing.assert_allclose(log_ratios(np.array([0.0, 0.01, 1.0])), np.log([0.01, 0.01, 1.0]))


def test_the_variances_of_squared_normal_returns_are_found() -> None:
    """Their logarithms lie 1.27 lower, which the smearing gives back, at each horizon."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200_000, 2))
    true = np.exp(np.log(2.0) + features @ [[0.3], [-0.2]])
    ratios = true * rng.chisquare([1.0, 5.0], (len(features), 2)) / [1.0, 5.0]
    level, level5, *weights = fit_variance_ridge(features, ratios, 1e-9)
    assert (level, level5) == pytest.approx((np.log(2.0),) * 2, abs=0.02)
    assert weights[2:] == pytest.approx([0.3, -0.2], abs=0.01)
    # The floor under the logarithm costs a squared return a little of its slope.
    assert weights[:2] == pytest.approx([0.3, -0.2], abs=0.04)


def test_the_level_has_the_least_qlike() -> None:
    rng = np.random.default_rng(1)
    features, ratios = rng.normal(size=(500, 1)), rng.chisquare(1, (500, 1))
    level, weight = fit_variance_ridge(features, ratios, 1e-9)
    losses = [
        qlike(ratios, np.exp(level + shift + weight * features)).mean()
        for shift in (-0.01, 0.0, 0.01)
    ]
    assert np.argmin(losses) == 1


def test_a_strong_penalty_leaves_the_base() -> None:
    rng = np.random.default_rng(2)
    features, ratios = rng.normal(size=(50, 3)), rng.chisquare(1, (50, 2))
    np.testing.assert_array_equal(fit_variance_ridge(features, ratios, np.inf), np.zeros(8))
    assert np.abs(fit_variance_ridge(features, ratios, 1e6)).max() < 1e-5
