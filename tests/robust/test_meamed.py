"""MeaMed by hand and against a loop."""

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
    """Around the median 4 the three nearest are 3, 4 and 6; 0 and 99 are farther."""
    updates = np.array([0, 3, 4, 6, 99], dtype=np.float32)[:, None]
    found = aggregate("meamed", updates, n_byzantine=2)
    assert found.update.tolist() == pytest.approx([13.0 / 3.0])
    assert found.weights.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_ties_at_the_edge_all_count() -> None:
    """Around 4 the two nearest are 4 and one of 3 and 5, which are equally near."""
    updates = np.array([3, 4, 5], dtype=np.float32)[:, None]
    found = aggregate("meamed", updates, n_byzantine=1)
    assert found.update.tolist() == [4.0]
    assert found.weights.tolist() == [1.0, 1.0, 1.0]


def test_an_even_number_has_its_median_between_rows() -> None:
    """Around 2.5 the three nearest of 0, 2, 3 and 7 are 0, 2 and 3."""
    updates = np.array([0, 2, 3, 7], dtype=np.float32)[:, None]
    assert aggregate("meamed", updates, n_byzantine=1).update.tolist() == pytest.approx([5.0 / 3.0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (5, 40, 0), (9, 30, 3), (25, 7, 12)])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    found = aggregate("meamed", updates, n_byzantine=f)
    assert relative_error(found.update, naive.meamed(updates, f)) < 1e-6


@given(arrays(np.float32, (5, 3), elements=VALUES), arrays(np.float32, (2, 3)))
def test_two_of_seven_cannot_leave_the_others_by_more_than_their_width(
    honest: np.ndarray, lies: np.ndarray
) -> None:
    """The median is among the others, and the farthest of them is within their width of it."""
    lies = np.nan_to_num(lies, nan=0.0, posinf=1e38, neginf=-1e38)
    found = aggregate("meamed", np.vstack([lies, honest]), n_byzantine=2).update
    low, high = honest.min(axis=0), honest.max(axis=0)
    assert (found >= low - (high - low) - 1e-3).all()
    assert (found <= high + (high - low) + 1e-3).all()
