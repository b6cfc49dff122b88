"""Norm clipping by hand and against a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def test_by_hand() -> None:
    """(3, 4) has the norm 5: with radius 1 it becomes (0.6, 0.8)."""
    updates = np.array([[3, 4], [0.5, 0]], dtype=np.float32)
    found = aggregate("norm_clipping(radius=1)", updates)
    np.testing.assert_allclose(found.update, [0.55, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found.weights, [0.1, 0.5])


def test_the_median_norm_by_itself() -> None:
    updates = np.array([[1.0], [-2.0], [900.0]], dtype=np.float32)
    found = aggregate("norm_clipping", updates, n_byzantine=1)
    assert found.update.tolist() == pytest.approx([1.0 / 3.0])


def test_clipped_rows_keep_their_weights() -> None:
    updates = np.array([[1.0], [-2.0], [900.0]], dtype=np.float32)
    found = aggregate("norm_clipping", updates, weights=[1, 1, 2])
    assert found.update.tolist() == pytest.approx([(1 - 2 + 4) / 4])


def test_most_rows_of_zeros_leave_nothing() -> None:
    updates = np.array([[0.0], [0.0], [5.0]], dtype=np.float32)
    assert aggregate("norm_clipping", updates, n_byzantine=1).update.tolist() == [0.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(3, 1), (5, 40), (12, 9), (25, 7)])
def test_a_loop_agrees(kind: str, n: int, d: int) -> None:
    updates = sample(kind, n, d, 1)
    assert relative_error(
        build_rule("norm_clipping").mix(updates), naive.norm_clipping(updates)
    ) < (1e-6)
    found = aggregate("norm_clipping+trimmed_mean", updates, n_byzantine=1).update
    assert relative_error(found, naive.trimmed_mean(naive.norm_clipping(updates), 1)) < 1e-5


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_no_row_is_longer_than_the_radius(seed: int, radius: float) -> None:
    updates = sample("heterogeneous", 6, 5, 0, seed) * np.float32(100.0)
    mixed = build_rule("norm_clipping", radius=radius).mix(updates)
    assert np.linalg.norm(mixed.astype(np.float64), axis=1).max() <= radius * (1.0 + 1e-5)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf, "1"])
def test_a_radius_is_positive(radius: object) -> None:
    with pytest.raises(ValueError, match="norm_clipping: radius must be positive and finite, got"):
        build_rule("norm_clipping", radius=radius)
