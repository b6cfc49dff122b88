"""The field of 65537 elements against Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.secure.masked.field import (
    MAX_TERMS,
    PRIME,
    from_log,
    inverse,
    log_products,
    matmul,
    mul,
    power,
)

ELEMENTS = st.integers(0, PRIME - 1)
ALL = np.arange(PRIME, dtype=np.uint32)


def test_by_hand() -> None:
    """256 * 256 = 65536 = -1, whose square is 1; 2 * 32769 = 65538 = 1."""
    assert mul(256, 256) == 65536
    assert mul(65536, 65536) == 1
    assert inverse(2) == 32769
    assert power(3, [0, 1, 2, -1]).tolist() == [1, 3, 9, 21846]


def test_products_of_every_element_with_the_corners() -> None:
    for factor in (0, 1, 2, 255, 256, 32768, 65535, 65536):
        expected = [int(a) * factor % PRIME for a in ALL]
        assert mul(ALL, factor).tolist() == expected


def test_every_element_but_zero_has_its_inverse() -> None:
    found = inverse(ALL[1:])
    assert found.tolist() == [pow(int(a), -1, PRIME) for a in ALL[1:]]


@pytest.mark.parametrize("call", [inverse, lambda values: power(values, 2)])
def test_zero_has_neither_inverse_nor_logarithm(call: object) -> None:
    assert callable(call)
    with pytest.raises(ZeroDivisionError, match="0 has no inverse"):
        call(np.array([3, 0]))


@given(st.lists(st.tuples(st.integers(1, PRIME - 1), st.integers(-(10**6), 10**6)), min_size=1))
def test_powers(pairs: list[tuple[int, int]]) -> None:
    bases, exponents = zip(*pairs, strict=True)
    assert power(bases, exponents).tolist() == [pow(b, e, PRIME) for b, e in pairs]


@given(st.lists(st.integers(1 - PRIME, PRIME - 1), min_size=1, max_size=40))
def test_products_by_logarithms_leave_zeros_out(values: list[int]) -> None:
    product = 1
    for value in values:
        product = product * (value or 1) % PRIME
    found = from_log(log_products(np.array(values, dtype=np.int32), axis=0))
    assert found == product


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_matrix_products(n_rows: int, n_terms: int, n_columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(PRIME, size=(n_rows, n_terms))
    right = rng.integers(PRIME, size=(n_terms, n_columns))
    expected = [
        [
            sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) % PRIME
            for column in right.T
        ]
        for row in left
    ]
    assert matmul(left, right).tolist() == expected


def test_the_longest_sum_is_exact_and_a_longer_one_refused() -> None:
    """Each term is (-1) * (-1), so the sum is the number of terms."""
    largest = np.full((1, MAX_TERMS), PRIME - 1, dtype=np.uint32)
    assert matmul(largest, largest.T).item() == MAX_TERMS % PRIME
    assert MAX_TERMS * 65536**2 < 2**53 <= (MAX_TERMS + 1) * 65536**2
    longer = np.zeros((1, MAX_TERMS + 1), dtype=np.uint32)
    with pytest.raises(ValueError, match="a sum of 2097152 products is not exact"):
        matmul(longer, longer.T)
