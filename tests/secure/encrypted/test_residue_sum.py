"""Sums of residues by hand and against Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.secure.encrypted import residue_sum
from fedtrade.secure.encrypted.residue_sum import ResidueSum

MODULI = (2**60 - 2**14 + 1, 97, 2**62 - 1)
SHAPE = (2, 2, len(MODULI), 5)


def _random(seed: int) -> list[np.ndarray]:
    """Residues of which every fifth is the largest that there is."""
    rng = np.random.default_rng(seed)
    words = np.stack([rng.integers(0, m, (2, 2, 5), dtype=np.uint64) for m in MODULI], axis=2)
    words[..., 0] = np.array(MODULI, np.uint64) - np.uint64(1)
    return list(np.ascontiguousarray(words))


def test_a_sum_by_hand() -> None:
    total = ResidueSum((7,), (1, 1, 1, 3))
    total.add([np.array([[[1, 2, 6]]], np.uint64)], 1)
    total.add([np.array([[[3, 4, 6]]], np.uint64)], 2)
    assert total.total().tolist() == [[[[0, 3, 4]]]]


@given(
    weights=st.lists(st.integers(1, 1000) | st.integers(1, 2**26), min_size=1, max_size=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_integers(weights: list[int], seed: int) -> None:
    total = ResidueSum(MODULI, SHAPE)
    expected = np.zeros(SHAPE, object)
    for place, weight in enumerate(weights):
        arrays = _random(seed + place)
        total.add(arrays, weight)
        expected += weight * np.stack(arrays).astype(object)
    expected %= np.array(MODULI, object)[None, None, :, None]
    assert np.array_equal(total.total(), expected)


def test_what_is_asked_for_in_between_changes_nothing() -> None:
    """And neither arrays that were added nor earlier totals change later."""
    total, arrays = ResidueSum(MODULI, SHAPE), _random(1)
    before = np.stack(arrays)
    total.add(arrays, 5)
    first = total.total()
    kept = first.copy()
    total.add(arrays, 1)
    total.add(arrays, 3)
    assert np.array_equal(np.stack(arrays), before)
    assert np.array_equal(first, kept)
    expected = 9 * before.astype(object) % np.array(MODULI, object)[None, None, :, None]
    assert np.array_equal(total.total(), expected)


def test_all_weight_that_64_bits_have_room_for() -> None:
    total = ResidueSum((2**62 - 1,), (1, 1, 1, 1))
    largest = np.array([[[2**62 - 2]]], np.uint64)
    total.add([largest], residue_sum.MOST_WEIGHT - 1)
    total.add([largest], 1)
    assert total.total().item() == (2**62 - 2) * 2**32 % (2**62 - 1)
    with pytest.raises(ValueError, match="weights of a sum may come to 4294967296, got 1 more"):
        total.add([largest], 1)
