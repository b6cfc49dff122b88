"""Data about many members in few bytes, and strict reading of what a peer sends.

Members are numbers below 2^32, as ascending little-endian words of 32 bits; what belongs to each
stands in rows of equal width. Readers refuse whatever else is sent with `ProtocolError`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError

__all__ = [
    "MAX_NUMBER",
    "Fields",
    "are_among",
    "check_names",
    "pack_numbers",
    "parts_of",
    "read_bytes",
    "read_numbers",
    "read_rows",
    "size_of",
]

Fields = Mapping[str, Any]
"""Entries of a message: integers, floats, text, bytes, or lists of these."""

MAX_NUMBER: Final = (1 << 32) - 1


def are_among(numbers: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the numbers are among others, which ascend; of the numbers' shape.

    `np.isin` without its set-up, which takes longer than the search where members are few.
    """
    if not len(others):
        return np.zeros(len(numbers), dtype=bool)
    places = np.searchsorted(others, numbers)
    places[places == len(others)] = 0
    return np.asarray(others[places] == numbers)


def pack_numbers(numbers: Iterable[int] | NDArray[np.integer]) -> bytes:
    """Members' numbers, put in ascending order."""
    found = numbers if isinstance(numbers, np.ndarray) else np.array([*numbers], dtype=np.int64)
    return np.sort(found).astype("<u4").tobytes()


def check_names(fields: Fields, *names: str) -> None:
    """Refuse a message without exactly these entries.

    Raises
    ------
    ProtocolError
    """
    if set(fields) != set(names):
        given = ", ".join(sorted(repr(str(name)[:32]) for name in list(fields)[:8])) or "none"
        raise ProtocolError(
            f"the message must have the entries {', '.join(names) or 'none'}, got {given}."
        )


def read_bytes(fields: Fields, name: str, size: int) -> bytes:
    """An entry of exactly so many bytes.

    Raises
    ------
    ProtocolError
    """
    value = fields.get(name)
    if not isinstance(value, bytes):
        raise ProtocolError(f"{name} must be {size} bytes, got {type(value).__name__}.")
    if len(value) != size:
        raise ProtocolError(f"{name} must be {size} bytes, got {len(value)}.")
    return value


def read_numbers(fields: Fields, name: str, at_most: int) -> NDArray[np.int64]:
    """Members' numbers, strictly ascending, `at_most` so many.

    Raises
    ------
    ProtocolError
    """
    value = fields.get(name)
    if not isinstance(value, bytes):
        raise ProtocolError(f"{name} must be members' numbers, got {type(value).__name__}.")
    if len(value) % 4 or len(value) > 4 * at_most:
        raise ProtocolError(
            f"{name} must be 4 bytes a member and {at_most} members at most, got {len(value)} "
            "bytes."
        )
    numbers = np.frombuffer(value, dtype="<u4").astype(np.int64)
    if (numbers[1:] <= numbers[:-1]).any():
        raise ProtocolError(f"{name} must have each member once, in ascending order.")
    return numbers


def read_rows(fields: Fields, name: str, n_rows: int, width: int) -> NDArray[np.uint8]:
    """An entry of shape (n_rows, width), in bytes.

    Raises
    ------
    ProtocolError
    """
    value = read_bytes(fields, name, n_rows * width)
    return np.frombuffer(value, dtype=np.uint8).reshape(n_rows, width)


def parts_of(data: bytes, width: int) -> list[bytes]:
    """Bytes cut into parts of equal width."""
    return [data[start : start + width] for start in range(0, len(data), width)]


def size_of(fields: Fields) -> int:
    """Bytes of a message's entries, without their names."""
    return sum(len(value) if isinstance(value, bytes) else 8 for value in fields.values())
