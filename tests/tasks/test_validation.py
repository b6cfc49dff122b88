import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.tasks.validation import strongest_within_one_error, validation_split


def test_last_three_of_ten_bars_are_held_out() -> None:
    split = validation_split(np.arange(10), horizon_bars=1)
    assert split.early.nonzero()[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert split.late.nonzero()[0].tolist() == [7, 8, 9]


def test_labels_that_overlap_the_held_out_bars_are_left_out() -> None:
    """A label of five bars that ends at 3 to 6 reaches no bar from 7 on only up to 2."""
    split = validation_split(np.arange(10), horizon_bars=5)
    assert split.early.nonzero()[0].tolist() == [0, 1, 2]
    assert split.late.nonzero()[0].tolist() == [7, 8, 9]


def test_all_examples_of_a_bar_stay_together() -> None:
    split = validation_split(np.repeat(np.arange(4), 3), horizon_bars=1)
    assert split.early.tolist() == [True] * 6 + [False] * 6
    assert split.late.tolist() == [False] * 6 + [True] * 6


@given(bars=st.lists(st.integers(0, 99), min_size=1, max_size=40), horizon=st.integers(1, 10))
def test_the_sides_are_apart_by_the_horizon(bars: list[int], horizon: int) -> None:
    label_bars = np.sort(np.array(bars))
    split = validation_split(label_bars, horizon)
    assert split.late.any()
    if split.early.any():
        assert label_bars[split.late].min() - label_bars[split.early].max() >= horizon


def test_the_strongest_of_equals_is_chosen() -> None:
    assert strongest_within_one_error(np.ones((4, 6)), np.arange(6), 1) == 3


def test_a_clearly_worse_one_is_not_chosen() -> None:
    """The second loses on every bar by about the same, the third by a lot."""
    losses = np.array([[1.0] * 4, [1.0, 1.0, 1.0, 1.0], [1.1, 1.2, 1.1, 1.2], [9.0] * 4])
    assert strongest_within_one_error(losses, np.arange(4), 1) == 1


def test_a_difference_within_its_error_does_not_count() -> None:
    """Paired differences 1, -1, 1, 0 have mean 0.25 and standard error 0.48."""
    losses = np.array([[0.0] * 4, [1.0, -1.0, 1.0, 0.0]])
    assert strongest_within_one_error(losses, np.arange(4), 1) == 1


def test_examples_of_one_bar_are_one_observation() -> None:
    """Four copies of each of two bars: the error is that of two differences, not of eight."""
    losses = np.array([[0.0] * 8, [0.0] * 4 + [1.0] * 4])  # mean 0.5, standard error 0.5
    assert strongest_within_one_error(losses, np.repeat([0, 1], 4), 1) == 1


def test_one_bar_says_nothing() -> None:
    assert strongest_within_one_error(np.array([[0.0], [9.0]]), np.array([0]), 1) == 1


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_best_is_within_its_own_error(best: int) -> None:
    losses = np.full((3, 10), 100.0) + np.arange(10) % 2
    losses[best] = 0.0
    assert strongest_within_one_error(losses, np.arange(10), 1) == best


def test_overlapping_labels_are_worth_less() -> None:
    """A loss of 0.2 with a deviation of 0.4: 100 bars decide, 4 that are new do not."""
    losses = np.stack([np.ones(100), 1.2 + np.tile([-0.4, 0.4], 50)])
    assert strongest_within_one_error(losses, np.arange(100), 1) == 0
    assert strongest_within_one_error(losses, np.arange(100), 25) == 1
