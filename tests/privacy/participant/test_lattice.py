"""Vectors on the lattice: never longer than the clip, whatever a participant computed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.errors import PrivacyError
from fedtrade.privacy.participant.lattice import QUANTA, most_norm, on_lattice

ANY = st.floats(width=32)


@given(arrays(np.float32, st.integers(1, 200), elements=ANY), st.floats(1e-6, 1e6))
def test_no_vector_is_longer_than_the_clip(values: np.ndarray, clip: float) -> None:
    found = on_lattice(values, clip)
    assert found.dtype == np.int64
    assert sum(int(k) ** 2 for k in found) <= QUANTA**2


@given(arrays(np.float64, 50, elements=st.floats(-1.0, 1.0)))
def test_within_the_clip_only_rounding_changes_a_vector(values: np.ndarray) -> None:
    clip = 10.0
    assert np.abs(on_lattice(values, clip) * clip / QUANTA - values).max() <= 0.51 * clip / QUANTA


def test_a_longer_vector_keeps_its_direction() -> None:
    found = on_lattice(np.array([3e6, 4e6]), 0.1)
    assert found.tolist() == [39321, 52428]  # 0.6 and 0.8 of a little less than 65536


def test_what_is_not_finite_counts_as_zero() -> None:
    assert on_lattice(np.array([math.nan, math.inf, 1.0]), 2.0).tolist() == [0, 0, QUANTA // 2]
    assert on_lattice(np.zeros(3), 1.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf])
def test_a_clip_that_is_none_is_refused(clip: float) -> None:
    with pytest.raises(PrivacyError, match="a clip must be a positive number"):
        on_lattice(np.ones(2), clip)


def test_too_many_values_for_the_lattice_are_refused() -> None:
    assert most_norm(10_000) > 0.999 * QUANTA
    with pytest.raises(PrivacyError, match="too many"):
        most_norm(QUANTA**2 + 10)
