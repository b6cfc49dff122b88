"""The geometric median by hand, against an optimiser, and by its first-order condition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, sample


def test_by_hand_the_centre_of_a_cross() -> None:
    """Four unit vectors pull equally; the fifth row, at the origin, stays the median."""
    updates = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(aggregate("geometric_median", updates).update, 0.0, atol=1e-6)


def test_by_hand_the_first_fermat_point() -> None:
    """Of an equilateral triangle the centre, however far a vertex moves away from it."""
    triangle = np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])
    for far in (1.0, 3.0):
        updates = (triangle * [[far], [1.0], [1.0]]).astype(np.float32)
        found = aggregate("geometric_median", updates, n_byzantine=1)
        np.testing.assert_allclose(found.update, 0.0, atol=1e-3)
        assert found.weights.sum() == pytest.approx(1.0)


def test_on_a_line_it_is_the_median() -> None:
    updates = np.array([0, 1, 2, 50, 1000], dtype=np.float32)[:, None]
    found = aggregate("geometric_median", updates, n_byzantine=2)
    np.testing.assert_allclose(found.update, [2.0], atol=1e-2)


def test_a_row_of_more_than_half_the_weight_is_the_median() -> None:
    updates = np.array([[5, 5], [0, 1], [1, 0]], dtype=np.float32)
    found = aggregate("geometric_median", updates, weights=[5, 2, 2])
    np.testing.assert_allclose(found.update, [5.0, 5.0], atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(5, 2, 2), (12, 6, 3), (30, 4, 8)])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_an_optimiser_agrees(kind: str, n: int, d: int, f: int, is_weighted: bool) -> None:
    updates = sample(kind, n, d, f)
    weights = np.random.default_rng(n).uniform(0.5, 2.0, n) if is_weighted else np.ones(n)
    found = aggregate("geometric_median", updates, n_byzantine=f, weights=weights).update

    def total(point: np.ndarray) -> float:
        return naive.sum_of_distances(updates, point, weights)

    best = min(
        minimize(total, start, method="Nelder-Mead", options={"fatol": 1e-9, "maxfev": 4000}).fun
        if d <= 2
        else minimize(total, start, method="L-BFGS-B").fun
        for start in (np.median(updates, axis=0), updates.mean(axis=0), found)
    )
    assert total(found) <= best * (1.0 + 1e-5)


@pytest.mark.parametrize("kind", ["random", "heterogeneous"])
def test_the_pulls_of_all_rows_cancel(kind: str) -> None:
    """At the optimum the unit vectors to the rows add up to nothing."""
    updates = sample(kind, 40, 25, 0)
    found = aggregate("geometric_median(tolerance=1e-7)", updates).update
    towards = updates.astype(np.float64) - found
    pull = (towards / np.linalg.norm(towards, axis=1, keepdims=True)).mean(axis=0)
    assert np.linalg.norm(pull) < 1e-5


@given(
    st.integers(0, 10_000),
    st.sampled_from([1e3, 1e6, 1e10, 1e20, 1e30]),
    st.sampled_from([3, 7, 25]),
)
def test_a_liar_at_the_mean_of_all_gains_nothing(seed: int, size: float, f: int) -> None:
    """One liar stands where the others have pulled the mean to, from where it is found nearest."""
    rng = np.random.default_rng(seed)
    n = 2 * f + 1
    updates = rng.normal(size=(n, 6)).astype(np.float32)
    honest = updates[f:].copy()
    updates[1:f] = size
    updates[0] = size * (f - 1) / (n - 1)
    found = aggregate("geometric_median", updates, n_byzantine=f).update
    spread = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    assert np.linalg.norm(found - honest.mean(axis=0)) < 3.0 * spread


def test_equal_rows_are_their_median() -> None:
    updates = np.tile(np.array([[0.1, -7.0, 1e6]], dtype=np.float32), (6, 1))
    np.testing.assert_allclose(aggregate("geometric_median", updates).update, updates[0], rtol=1e-6)


def test_one_step_is_one_step_of_weiszfelds() -> None:
    """From the row amid most, 1: weights over distances 1, (0), 1 and 9, with a floor for zero."""
    updates = np.array([0, 1, 2, 10], dtype=np.float32)[:, None]
    found = aggregate("geometric_median(n_iterations=1, smoothing=1.0)", updates)
    np.testing.assert_allclose(found.weights, np.array([9, 9, 9, 1]) / 28.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_iterations": 0}, "n_iterations must be a whole number from 1, got 0"),
        ({"n_iterations": 2.5}, "n_iterations must be a whole number from 1, got 2.5"),
        ({"tolerance": -1.0}, "tolerance must be positive and finite, got -1.0"),
        ({"smoothing": 0.0}, "smoothing must be positive and finite, got 0.0"),
        ({"smoothing": np.inf}, "smoothing must be positive and finite, got inf"),
    ],
)
def test_options_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"geometric_median: {message}"):
        build_rule("geometric_median", **options)
