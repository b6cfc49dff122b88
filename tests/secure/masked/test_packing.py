"""Strict reading of what peers send."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError
from fedtrade.secure.masked.packing import (
    are_among,
    check_names,
    pack_numbers,
    read_bytes,
    read_numbers,
    read_rows,
    size_of,
)


def test_by_hand() -> None:
    packed = pack_numbers([258, 1])
    assert packed == b"\1\0\0\0\2\1\0\0"
    assert read_numbers({"who": packed}, "who", 2).tolist() == [1, 258]
    assert read_rows({"rows": b"abcdef"}, "rows", 2, 3).tolist() == [[97, 98, 99], [100, 101, 102]]
    assert size_of({"a": b"abc", "b": 1}) == 11


@given(st.sets(st.integers(0, 2**32 - 1), max_size=30))
def test_numbers_come_back(numbers: set[int]) -> None:
    packed = pack_numbers(numbers)
    assert read_numbers({"who": packed}, "who", len(numbers)).tolist() == sorted(numbers)
    assert pack_numbers(np.array(list(numbers), dtype=np.int64)) == packed


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\1\0\0\0\1\0\0\0", "each member once"),
        (b"\2\0\0\0\1\0\0\0", "in ascending order"),
        (b"\1\0\0", "4 bytes a member"),
        (bytes(16), "3 members at most"),
        ([1, 2], "got list"),
        ("1", "got str"),
        (None, "got NoneType"),
    ],
)
def test_other_numbers_are_refused(value: Any, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        read_numbers({"who": value}, "who", 3)


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(33), "x" * 32, 32, [1], None])
def test_other_bytes_are_refused(value: Any) -> None:
    for read in (
        lambda: read_bytes({"key": value}, "key", 32),
        lambda: read_rows({"key": value}, "key", 4, 8),
    ):
        with pytest.raises(ProtocolError, match="key must be 32 bytes, got"):
            read()


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b", "c"), ("a", "c")])
def test_other_entries_are_refused(names: tuple[str, ...]) -> None:
    check_names({"a": 1, "b": 2}, "b", "a")
    with pytest.raises(ProtocolError, match="must have the entries a, b, got"):
        check_names(dict.fromkeys(names, b""), "a", "b")


def test_a_flood_of_names_makes_a_short_error() -> None:
    with pytest.raises(ProtocolError) as caught:
        check_names({f"{'x' * 10_000}{n}": b"" for n in range(100)}, "a")
    assert len(str(caught.value)) < 500


NUMBERS = st.sets(st.integers(0, 12)).map(lambda found: np.array(sorted(found), dtype=np.int64))


@given(st.permutations(range(10)), NUMBERS)
def test_members_are_found_among_others(numbers: list[int], others: NDArray[np.int64]) -> None:
    found = are_among(np.array(numbers), others)
    assert found.tolist() == np.isin(numbers, others).tolist()
    assert are_among(others[:0], others).shape == (0,)
