import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.features.moments import Standardiser, moment_sum

FINITE = st.floats(-100.0, 100.0)


def test_moments_and_standardiser_by_hand() -> None:
    """1, 3 and 5: count 3, sum 9, squares 35; mean 3 and variance 35/3 - 9 = 8/3."""
    total = moment_sum(np.array([[1.0], [3.0], [5.0]]))
    assert total.tolist() == [[3.0], [9.0], [35.0]]
    scale = Standardiser.from_sum(total)
    assert scale(np.array([[3.0], [5.0]]))[:, 0] == pytest.approx([0.0, 2.0 / np.sqrt(8.0 / 3.0)])


def test_values_are_clipped_at_five_deviations() -> None:
    scale = Standardiser(np.zeros(1), np.ones(1))
    assert scale(np.array([[-9.0], [5.1], [4.9]]))[:, 0].tolist() == [-5.0, 5.0, 4.9]


def test_a_constant_feature_becomes_zero() -> None:
    scale = Standardiser.from_sum(moment_sum(np.full((7, 1), 0.3)))
    assert scale(np.full((2, 1), 0.3)) == pytest.approx(np.zeros((2, 1)))


def test_an_infinite_variance_mutes_a_feature() -> None:
    total = moment_sum(np.ones((3, 2)))
    total[2, 1] = np.inf
    assert Standardiser.from_sum(total)(np.array([[1.0, 1e9]]))[0, 1] == 0.0


def test_missing_stays_missing() -> None:
    assert np.isnan(Standardiser(np.zeros(2), np.ones(2))(np.array([np.nan, 1.0]))).tolist() == [
        True,
        False,
    ]


def test_nobody_has_an_example() -> None:
    nothing = moment_sum(np.zeros((0, 2)))
    assert nothing.tolist() == [[0.0, 0.0]] * 3
    with pytest.raises(ValueError, match="no participant has a training example"):
        Standardiser.from_sum(nothing)


@given(arrays(np.float64, (12, 2), elements=FINITE), st.lists(st.integers(0, 12), max_size=4))
def test_the_sum_over_any_partition_is_that_of_all(values: np.ndarray, cuts: list[int]) -> None:
    parts = [moment_sum(part) for part in np.split(values, sorted(cuts))]
    np.testing.assert_allclose(np.sum(parts, axis=0), moment_sum(values), atol=1e-8)


@given(arrays(np.float64, (30, 2), elements=FINITE, unique=True))
def test_standardised_training_data_has_mean_zero_and_variance_one(values: np.ndarray) -> None:
    """Where nothing is clipped."""
    found = Standardiser.from_sum(moment_sum(values))(values)
    if (np.abs(found) < 5.0).all():
        np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(found.std(axis=0), 1.0, atol=1e-6)


def test_a_variance_that_noise_makes_negative_counts_as_none() -> None:
    """Of ten values with mean 2 and mean square 3, which no values have."""
    noisy = np.array([[10.0], [20.0], [30.0]])
    with np.errstate(all="raise"):
        scale = Standardiser.from_sum(noisy)
    assert scale.std.tolist() == [1.0]
    assert scale(np.array([[3.0]])).tolist() == [[1.0]]
