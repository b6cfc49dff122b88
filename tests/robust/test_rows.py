"""Rows in blocks: products, norms and mixtures against whole arrays in double precision."""

import numpy as np
import pytest

from fedtrade.robust import Sketch
from fedtrade.robust import rows as module
from fedtrade.robust.rows import Rows
from tests.robust.samples import relative_error, sample


def _exact(rows: Rows) -> np.ndarray:
    return np.vstack([rows.updates, rows.public]).astype(np.float64)


def test_by_hand() -> None:
    """(1, 2) and (3, 0), the anchor (0, 1), and the origin."""
    rows = Rows(np.array([[1, 2], [3, 0]], np.float32), np.array([[0, 1]], np.float32))
    assert rows.n_clients == 2
    assert rows.squared_norms.tolist() == [5.0, 9.0, 1.0, 0.0]
    assert rows.products(None, None).tolist() == [
        [5.0, 3.0, 2.0, 0.0],
        [3.0, 9.0, 0.0, 0.0],
        [2.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]
    assert rows.mixture(np.array([1.0, 0.5, -2.0])).tolist() == [2.5, 0.0]
    assert rows.inner_products(np.array([1, 1], np.float32)).tolist() == [3.0, 3.0, 1.0, 0.0]


def test_about_a_centre_by_hand() -> None:
    """About (1, 0): (0, 2), (2, 0), and (-1, 0) for the origin."""
    rows = Rows(np.array([[1, 2], [3, 0]], np.float32))
    found = rows.products(np.array([1, 0], np.float32), None)
    assert found.tolist() == [[4.0, 0.0, 0.0], [0.0, 4.0, -2.0], [0.0, -2.0, 1.0]]


@pytest.mark.parametrize("n_anchors", [0, 2])
@pytest.mark.parametrize("is_centred", [False, True])
@pytest.mark.parametrize("block", [1 << 21, 1 << 9])
def test_blocks_agree_with_whole_arrays(
    n_anchors: int, is_centred: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", block)
    updates = sample("heterogeneous", 12, 1000, 0)
    anchors = sample("random", n_anchors, 1000, 0) if n_anchors else None
    rows = Rows(updates, anchors)
    exact = _exact(rows)
    assert exact.shape == (12 + n_anchors + 1, 1000)
    centre = updates[3] if is_centred else None
    shifted = exact if centre is None else exact - centre
    assert relative_error(rows.products(centre, None), shifted @ shifted.T) < 1e-5
    assert relative_error(rows.squared_norms, (exact**2).sum(axis=1)) < 1e-5
    assert relative_error(rows.inner_products(updates[5]), exact @ updates[5]) < 1e-5
    coefficients = np.random.default_rng(0).normal(size=12 + n_anchors)
    assert relative_error(rows.mixture(coefficients), coefficients @ exact[:-1]) < 1e-5


def test_a_row_is_a_copy() -> None:
    rows = Rows(sample("random", 3, 4, 0))
    rows.row(1)[:] = 0.0
    assert rows.row(1).all()


@pytest.mark.parametrize("size", [1e16, 1e20, 1e37, 3e38])
def test_absurd_rows_are_scaled_down_for_their_products(size: float) -> None:
    updates = sample("random", 5, 30, 0)
    updates[2] = size
    rows = Rows(updates)
    exact = _exact(rows)
    assert not rows.is_plain
    found, expected = rows.products(None, None), exact @ exact.T
    scale = np.sqrt(np.maximum(expected.diagonal(), 1.0))
    assert np.abs((found - expected) / scale / scale[:, None]).max() < 1e-5
    norms = rows.squared_norms
    assert norms[2] > 1e30  # or infinite
    assert np.isfinite(norms[[0, 1, 3, 4, 5]]).all()
    kept = updates.copy()
    np.testing.assert_array_equal(rows.updates, kept)


def test_rows_of_usual_size_are_plain() -> None:
    assert Rows(sample("random", 5, 30, 0) * np.float32(1e12)).is_plain


def test_coefficients_of_zero_keep_absurd_rows_out() -> None:
    updates = sample("random", 4, 300_000, 0)
    updates[0] = 3e38
    found = Rows(updates).mixture(np.array([0.0, 0.5, 0.5, 0.0]))
    np.testing.assert_allclose(found, updates[1:3].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_small_mixtures_are_added_up_in_double_precision() -> None:
    rows = Rows(np.array([[1e8], [1.0], [-1e8]], dtype=np.float32))
    assert rows.mixture(np.ones(3)).tolist() == [1.0]


def test_a_sketch_has_the_same_shape() -> None:
    rows = Rows(sample("random", 6, 500, 0), sample("random", 1, 500, 0))
    found = rows.products(None, Sketch(64, 0))
    assert found.shape == (8, 8)
    assert not found[-1].any()


def test_one_row_alone_is_taken_as_it_is() -> None:
    """Whatever stands in the others, and to the last bit."""
    updates = np.array([[0.1, -3e38], [3e38, 1e-40]], dtype=np.float32)
    assert Rows(updates).mixture(np.array([1.0, 0.0])).tolist() == updates[0].tolist()
    assert Rows(updates).mixture(np.array([0.0, 0.5])).tolist() == (updates[1] / 2).tolist()
