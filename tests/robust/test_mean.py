import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.robust import weighted_mean

VALUES = st.floats(-1e3, 1e3, width=32)


def _updates(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_by_hand() -> None:
    """(1 * (1, 0) + 3 * (5, 4)) / 4 = (4, 3)."""
    found = weighted_mean(_updates([1, 0], [5, 4]), np.array([1.0, 3.0]))
    assert found.tolist() == [4.0, 3.0]
    assert found.dtype == np.float32


@given(arrays(np.float32, (1, 4), elements=VALUES), st.floats(1e-3, 1e6))
def test_one_row_returns_itself(updates: np.ndarray, weight: float) -> None:
    np.testing.assert_array_equal(weighted_mean(updates, np.array([weight])), updates[0])


@given(
    arrays(np.float32, (5, 3), elements=VALUES),
    arrays(np.float64, 5, elements=st.floats(0.1, 100.0)),
    st.permutations(range(5)),
    st.floats(0.01, 100.0),
)
def test_laws(updates: np.ndarray, weights: np.ndarray, order: list[int], scale: float) -> None:
    """Neither the order of participants nor the unit of the weights matters; no row is left."""
    found = weighted_mean(updates, weights)
    np.testing.assert_allclose(weighted_mean(updates[order], weights[order]), found, atol=1e-3)
    np.testing.assert_allclose(weighted_mean(updates, weights * scale), found, atol=1e-3)
    assert (found >= updates.min(axis=0) - 1e-3).all()
    assert (found <= updates.max(axis=0) + 1e-3).all()


def test_a_row_of_weight_zero_does_not_count() -> None:
    assert weighted_mean(_updates([2], [9]), np.array([5.0, 0.0])).tolist() == [2.0]


def test_the_sum_runs_in_double_precision() -> None:
    """In single precision 1e8 would swallow the ones."""
    updates = _updates([1e8], [1.0], [1.0], [-1e8])
    assert weighted_mean(updates, np.ones(4)).tolist() == [0.5]


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="finite, not negative and not all zero"):
        weighted_mean(_updates([1], [2]), np.array(weights))


@pytest.mark.parametrize(("shape", "n"), [((0, 3), 0), ((2, 3), 3), ((3,), 3)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], n: int) -> None:
    with pytest.raises(ValueError, match=r"updates must have shape \(n_clients, n_params\)"):
        weighted_mean(np.zeros(shape, np.float32), np.ones(n))
