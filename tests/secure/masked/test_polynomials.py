"""Polynomials found in spite of wrong points, against Python's integers and trying all."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.secure.masked.field import PRIME
from fedtrade.secure.masked.polynomials import decode_polynomial, evaluate


def _values(coefficients: list[int], xs: list[int]) -> np.ndarray:
    return np.array([sum(c * x**i for i, c in enumerate(coefficients)) % PRIME for x in xs])


def test_by_hand() -> None:
    """5 + 2x at 1 to 4 is 7, 9, 11, 13: one wrong of four is found."""
    xs = np.arange(1, 5)
    found = decode_polynomial(xs, np.array([7, 9, 60000, 13]), 2)
    assert found is not None
    assert found.tolist() == [5, 2]
    assert evaluate(found, xs).tolist() == [7, 9, 11, 13]


def test_nothing_fits_points_that_are_half_wrong() -> None:
    """No line goes through three of (1, 0), (2, 0), (3, 1), (4, 5)."""
    assert decode_polynomial(np.arange(1, 5), np.array([0, 0, 1, 5]), 2) is None


def test_zero_is_a_polynomial_too() -> None:
    found = decode_polynomial(np.arange(1, 6), np.array([0, 0, 9, 0, 0]), 3)
    assert found is not None
    assert found.size == 0
    assert evaluate(found, np.arange(1, 4)).tolist() == [0, 0, 0]


@given(st.data())
def test_as_many_wrong_points_as_can_be(data: st.DataObject) -> None:
    n_coefficients = data.draw(st.integers(1, 8))
    n_points = data.draw(st.integers(n_coefficients, 24))
    n_wrong = data.draw(st.integers(0, (n_points - n_coefficients) // 2))
    xs = data.draw(
        st.lists(st.integers(1, PRIME - 1), min_size=n_points, max_size=n_points, unique=True)
    )
    elements = st.integers(0, PRIME - 1)
    coefficients = data.draw(st.lists(elements, min_size=n_coefficients, max_size=n_coefficients))
    ys = _values(coefficients, xs)
    for place in range(n_wrong):
        ys[place] = (ys[place] + data.draw(st.integers(1, PRIME - 1))) % PRIME
    found = decode_polynomial(np.array(xs), ys, n_coefficients)
    assert found is not None
    padded = [*found.tolist(), *[0] * (n_coefficients - len(found))]
    assert padded == coefficients


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_one_exactly_if_there_is_one(seed: int) -> None:
    """Lines through 4 of 5 points with small entries, found by trying every pair of points."""
    rng = np.random.default_rng(seed)
    xs, ys = np.arange(1, 6), rng.integers(0, 3, 5)
    lines = set()
    for i, j in product(range(5), repeat=2):
        if i < j:
            slope = int(ys[j] - ys[i]) * pow(int(xs[j] - xs[i]), -1, PRIME) % PRIME
            line = ((int(ys[i]) - slope * int(xs[i])) % PRIME, slope)
            if (_values(list(line), xs.tolist()) == ys).sum() >= 4:
                lines.add(line)
    found = decode_polynomial(xs, ys, 2)
    expected = [list(line) for line in lines]
    assert ([] if found is None else [[*found.tolist(), 0, 0][:2]]) == expected
