import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from fedtrade.models.ridge import RidgeSums, ridge_products, ridge_weights


def problem(n: int, n_features: int, n_outputs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(1.0, 1.0, (n, n_features))
    targets = 3.0 + features @ rng.normal(size=(n_features, n_outputs))
    return features, targets + rng.normal(size=targets.shape)


def test_hand_computed() -> None:
    """x = -1, 1 and y = 1, 3: variance 1, covariance 1, so a penalty of 1 halves the slope."""
    products = ridge_products(np.array([[-1.0], [1.0]]), np.array([[1.0], [3.0]]))
    np.testing.assert_array_equal(products, [[2.0, 0.0, 4.0], [0.0, 2.0, 2.0]])
    np.testing.assert_allclose(ridge_weights(products, 1.0), [[0.5]])
    np.testing.assert_allclose(ridge_weights(products, 1e-12), [[1.0]])
    np.testing.assert_array_equal(ridge_weights(products, np.inf), [[0.0]])


@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 5),
    st.floats(1e-6, 1e3),
    st.integers(0, 2**32 - 1),
)
def test_sums_of_participants_give_the_pooled_ridge(
    n_features: int, n_outputs: int, n_participants: int, penalty: float, seed: int
) -> None:
    """However the examples are split, the weights are scikit-learn's on all of them."""
    n = 40
    features, targets = problem(n, n_features, n_outputs, seed)
    owner = np.random.default_rng(seed + 1).integers(n_participants, size=n)
    parts = [
        RidgeSums.of(features[owner == k], targets[owner == k], 3).to_array()
        for k in range(n_participants)
    ]
    total = RidgeSums.from_array(np.sum(parts, axis=0), n_features)
    assert (total.n_examples, total.n_bars) == (n, 3)
    pooled = Ridge(alpha=n * penalty, solver="svd").fit(features, targets)
    np.testing.assert_allclose(
        ridge_weights(total.products, penalty),
        pooled.coef_.reshape(n_outputs, n_features),
        rtol=1e-8,
        atol=1e-10,
    )


def test_the_intercept_is_free() -> None:
    features, targets = problem(50, 3, 2, 0)
    weights = ridge_weights(ridge_products(features, targets), 0.5)
    moved = ridge_weights(ridge_products(features - 7.0, targets + 100.0), 0.5)
    np.testing.assert_allclose(moved, weights, rtol=1e-7)


def test_history_is_that_of_the_average_example() -> None:
    """10 examples over 10 bars beside 30 over 90: (10 * 10 + 30 * 90) / 40 = 70."""
    empty = np.zeros((0, 2)), np.zeros((0, 1)), 0
    parts = [
        RidgeSums.of(*problem(10, 2, 1, 0), 10),
        RidgeSums.of(*problem(30, 2, 1, 1), 90),
        RidgeSums.of(*empty),
    ]
    total = np.sum([part.to_array() for part in parts], axis=0)
    assert RidgeSums.from_array(total, 2).n_bars == 70
    assert RidgeSums.of(*empty).n_bars == 1


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no participant has a training example"):
        ridge_weights(np.zeros((3, 4)), 1.0)
    with pytest.raises(ValueError, match="penalty must be positive, got 0"):
        ridge_weights(ridge_products(*problem(5, 2, 1, 0)), 0.0)
    for wrong in (np.zeros(10), np.zeros((3, 4)), np.zeros(9)):
        with pytest.raises(ValueError, match="got shape"):
            RidgeSums.from_array(wrong, 2)


def test_noise_that_makes_a_variance_negative_leaves_a_small_model() -> None:
    """Without care, a variance of -0.999 and a penalty of 1 would make a slope of 500."""
    products = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, -0.999, 0.0, 0.5], [0.0, 0.0, 1.0, 0.5]])
    np.testing.assert_allclose(ridge_weights(products, 1.0), [[0.5, 0.25]])
