"""The trimmed mean by hand, against a loop, and whose coordinates it keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.robust import aggregate
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample

VALUES = st.floats(-1e3, 1e3, width=32)


def test_by_hand() -> None:
    """(1 + 2 + 6) / 3 without 0 and 99; (2 + 3 + 4) / 3 without -9 and 5."""
    updates = np.array([[0, 5], [1, 4], [2, 3], [6, 2], [99, -9]], dtype=np.float32)
    found = aggregate("trimmed_mean", updates, n_byzantine=1)
    assert found.update.tolist() == [3.0, 3.0]
    assert found.update.dtype == np.float32
    assert found.weights.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert found.state is None


def test_nothing_is_trimmed_without_liars() -> None:
    updates = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
    assert aggregate("trimmed_mean", updates).update.tolist() == [2.0]


def test_values_equal_to_one_kept_count_as_kept() -> None:
    """1, 1, 1, 2, 9 without one at each end: 1 stays, so all who sent it had a part."""
    updates = np.array([[1.0], [9.0], [1.0], [2.0], [1.0]], dtype=np.float32)
    found = aggregate("trimmed_mean", updates, n_byzantine=1)
    assert found.update.tolist() == pytest.approx([4.0 / 3.0])
    assert found.weights.tolist() == [1.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (5, 40, 0), (9, 30, 3), (24, 7, 11)])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    found = aggregate("trimmed_mean", updates, n_byzantine=f)
    assert relative_error(found.update, naive.trimmed_mean(updates, f)) < 1e-6


@given(arrays(np.float32, (7, 3), elements=VALUES), arrays(np.float32, (3, 3)))
def test_three_of_ten_cannot_leave_the_range_of_the_others(
    honest: np.ndarray, lies: np.ndarray
) -> None:
    lies = np.nan_to_num(lies, nan=0.0, posinf=3e38, neginf=-3e38)
    found = aggregate("trimmed_mean", np.vstack([lies, honest]), n_byzantine=3).update
    assert (found >= honest.min(axis=0) - 1e-3).all()
    assert (found <= honest.max(axis=0) + 1e-3).all()
