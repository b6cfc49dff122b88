from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedtrade.errors import PrivacyError
from fedtrade.privacy.mechanisms.contributions import (
    Norm,
    clipped_integers,
    clipped_sum,
    lattice_step,
)

ROWS = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


def length(values: np.ndarray, norm: Norm) -> float:
    whole = [int(value) for value in values]  # no overflow, no rounding
    if norm == "l2":
        return sqrt(sum(value**2 for value in whole))
    return sum(map(abs, whole)) if norm == "l1" else max(map(abs, whole))


def test_contributions_within_the_clip_are_added() -> None:
    found = clipped_sum([[0.25, 0.5], [0.25, -0.5]], 1.0, "l1", 2.0**-10)
    assert (found.total * found.step).tolist() == [0.5, 0.0]
    assert found.sensitivity == 1024


def test_a_long_contribution_is_scaled_down_and_keeps_its_direction() -> None:
    found = clipped_sum([[3e300, -4e300]], 5.0, "l2", 2.0**-20)
    assert found.total * found.step == pytest.approx([3.0, -4.0], abs=3e-6)
    found = clipped_sum([[6.0, -2.0]], 4.0, "l1", 2.0**-20)
    assert found.total * found.step == pytest.approx([3.0, -1.0], abs=3e-6)


def test_scores_are_cut_to_their_range() -> None:
    found = clipped_sum([[-1.0, 0.5, 9.0]], 2.0, "range", 2.0**-10)
    assert (found.total * found.step).tolist() == [0.0, 0.5, 2.0]


def test_whole_numbers_stay_whole() -> None:
    found = clipped_integers([[3, -4], [30, -40]], 10, "l2")
    assert found.total.tolist() == [9, -12]
    assert clipped_integers([[2, 2, 2]], 4, "l1").total.tolist() == [1, 1, 1]


def test_nobody_contributes_nothing() -> None:
    assert clipped_sum([], 1.0, "l1", 1.0).total.tolist() == [0]
    assert clipped_sum(np.zeros((0, 3)), 1.0, "l2", 1.0).total.tolist() == [0, 0, 0]


@pytest.mark.parametrize("norm", ["l1", "l2", "range"])
@settings(max_examples=25)
@given(rows=ROWS, clip=st.floats(1e-6, 1e6), noise=st.floats(1e-3, 1e3))
def test_one_unit_never_moves_the_sum_by_more_than_the_sensitivity(
    norm: Norm, rows: np.ndarray, clip: float, noise: float
) -> None:
    """Exactly, in whole numbers, whatever the contributions."""
    step = lattice_step(clip, clip * noise)
    whole = clipped_sum(rows, clip, norm, step)
    without = clipped_sum(rows[1:], clip, norm, step)
    assert length(whole.total - without.total, norm) <= whole.sensitivity
    assert whole.sensitivity * step <= clip


@pytest.mark.parametrize("norm", ["l1", "l2"])
@settings(max_examples=25)
@given(
    row=arrays(np.int64, st.integers(1, 5), elements=st.integers(-(2**62), 2**62)),
    clip=st.integers(1, 2**30),
)
def test_whole_numbers_never_exceed_the_clip(norm: Norm, row: np.ndarray, clip: int) -> None:
    assert length(clipped_integers([row], clip, norm).total, norm) <= clip


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(PrivacyError, match="row 1 has a number that is not finite"):
        clipped_sum([0.0, bad], 1.0, "l1", 1.0)


@pytest.mark.parametrize("clip", [0.0, -1.0, nan, inf])
def test_a_clip_is_a_positive_number(clip: float) -> None:
    with pytest.raises(PrivacyError, match="clip="):
        clipped_sum([0.0], clip, "l1", 1.0)


def test_discrete_mechanisms_take_whole_numbers_only() -> None:
    with pytest.raises(PrivacyError, match="whole numbers"):
        clipped_integers([0.5], 1, "l1")
    for clip in (0, 2**31, 1.0, True):
        with pytest.raises(PrivacyError, match="clip="):
            clipped_integers([1], clip, "l1")  # type: ignore[arg-type]


def test_a_table_of_contributions_has_two_dimensions() -> None:
    with pytest.raises(PrivacyError, match=r"not \(1, 1, 1\)"):
        clipped_sum([[[1.0]]], 1.0, "l1", 1.0)


def test_noise_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(PrivacyError, match="leaves nothing"):
        lattice_step(1.0, 1e12)


def test_too_many_contributions_for_64_bits_are_refused() -> None:
    with pytest.raises(PrivacyError, match="exceed 64 bits"):
        clipped_sum(np.zeros(5), 2.0**60, "l1", 1.0)
