"""The median by hand, against NumPy and a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.robust import aggregate
from tests.robust import naive
from tests.robust.samples import KINDS, sample

VALUES = st.floats(-1e3, 1e3, width=32)


def test_by_hand() -> None:
    updates = np.array([[7, -1], [1, 0], [3, 80]], dtype=np.float32)
    found = aggregate("median", updates, n_byzantine=1)
    assert found.update.tolist() == [3.0, 0.0]
    assert found.weights.tolist() == [0.0, 0.5, 0.5]


def test_of_an_even_number_the_mean_of_the_middle_two() -> None:
    updates = np.array([[8.0], [1.0], [2.0], [4.0]], dtype=np.float32)
    found = aggregate("median", updates, n_byzantine=1)
    assert found.update.tolist() == [3.0]
    assert found.weights.tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 1), (10, 40), (25, 7)])
def test_numpy_and_a_loop_agree(kind: str, n: int, d: int) -> None:
    updates = sample(kind, n, d, 0)
    found = aggregate("median", updates).update
    np.testing.assert_allclose(found, np.median(updates, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found, naive.median(updates), rtol=1e-6)


def test_two_absurd_values_in_the_middle_do_not_overflow() -> None:
    updates = np.array([[3e38], [3e38], [3e38], [1.0]], dtype=np.float32)
    assert np.isfinite(aggregate("median", updates).update).all()


@given(arrays(np.float32, (4, 3), elements=VALUES), arrays(np.float32, (3, 3)))
def test_three_of_seven_cannot_leave_the_range_of_the_others(
    honest: np.ndarray, lies: np.ndarray
) -> None:
    lies = np.nan_to_num(lies, nan=0.0, posinf=3e38, neginf=-3e38)
    found = aggregate("median", np.vstack([lies, honest]), n_byzantine=3).update
    assert (found >= honest.min(axis=0)).all()
    assert (found <= honest.max(axis=0)).all()
