"""The mean by hand, its laws, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.robust import aggregate

VALUES = st.floats(-1e3, 1e3, width=32)


def _updates(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_by_hand() -> None:
    """(1 * (1, 0) + 3 * (5, 4)) / 4 = (4, 3)."""
    found = aggregate("mean", _updates([1, 0], [5, 4]), weights=[1.0, 3.0])
    assert found.update.tolist() == [4.0, 3.0]
    assert found.update.dtype == np.float32
    assert found.weights.tolist() == [0.25, 0.75]
    assert found.state is None


@given(arrays(np.float32, (1, 4), elements=VALUES), st.floats(1e-3, 1e6))
def test_one_row_returns_itself(updates: np.ndarray, weight: float) -> None:
    np.testing.assert_array_equal(aggregate("mean", updates, weights=[weight]).update, updates[0])


@given(
    arrays(np.float32, (5, 3), elements=VALUES),
    arrays(np.float64, 5, elements=st.floats(0.1, 100.0)),
    st.permutations(range(5)),
    st.floats(0.01, 100.0),
)
def test_laws(updates: np.ndarray, weights: np.ndarray, order: list[int], scale: float) -> None:
    """Neither the order of participants nor the unit of the weights matters; no row is left."""

    def mean(rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return aggregate("mean", rows, weights=shares).update

    found = mean(updates, weights)
    np.testing.assert_allclose(mean(updates[order], weights[order]), found, atol=1e-3)
    np.testing.assert_allclose(mean(updates, weights * scale), found, atol=1e-3)
    assert (found >= updates.min(axis=0) - 1e-3).all()
    assert (found <= updates.max(axis=0) + 1e-3).all()


def test_a_row_of_weight_zero_does_not_count() -> None:
    assert aggregate("mean", _updates([2], [9]), weights=[5.0, 0.0]).update.tolist() == [2.0]


def test_small_sums_run_in_double_precision() -> None:
    """In single precision 1e8 would swallow the ones."""
    assert aggregate("mean", _updates([1e8], [1.0], [1.0], [-1e8])).update.tolist() == [0.5]


def test_it_is_no_defence_and_says_so() -> None:
    with pytest.raises(ValueError, match="mean: the mean is no defence and needs f = 0, got f=1"):
        aggregate("mean", _updates([1], [2], [3]), n_byzantine=1)
