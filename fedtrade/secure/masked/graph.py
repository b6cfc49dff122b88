"""Who is whose neighbour: a ring in a random order that everybody derives from the same seed.

Bell et al. (2020), https://eprint.iacr.org/2020/704, section 3: a Harary graph with random names.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ThresholdError

__all__ = ["cohorts", "neighbour_table", "neighbours", "permutation"]

DOMAIN: Final = b"fedtrade/secure/masked/order/1"


def permutation(seed: bytes, numbers: Sequence[int]) -> NDArray[np.int64]:
    """The numbers in an order drawn from the seed, each order as likely as any other.

    The numbers' own order plays no part. In ascending order they get 64-bit words of
    SHAKE-256(domain, seed, attempt) and are sorted by them; words that are not all different,
    which few seeds give, are drawn again, so that no order is favoured.

    Parameters
    ----------
    seed : bytes
        32 bytes that nobody could choose.
    numbers : distinct integers

    Raises
    ------
    ValueError
        If the seed has not 32 bytes, or a number comes twice.
    """
    if len(seed) != 32:
        raise ValueError(f"the seed of an order must have 32 bytes, got {len(seed)}.")
    ascending = np.sort(np.asarray(numbers, dtype=np.int64))
    if (ascending[1:] == ascending[:-1]).any():
        raise ValueError("the members of an order must be distinct.")
    attempt = 0
    while True:
        stream = hashlib.shake_256(DOMAIN + seed + attempt.to_bytes(4, "little"))
        words = np.frombuffer(stream.digest(8 * len(ascending)), dtype="<u8")
        order = np.argsort(words)
        drawn = words[order]
        if not (drawn[1:] == drawn[:-1]).any():
            return ascending[order]
        attempt += 1


def cohorts(order: NDArray[np.int64], group_size: int | None) -> list[NDArray[np.int64]]:
    """The blocks of an order that are summed apart: floor(n / group_size), as even as can be.

    None makes one cohort of all.

    Raises
    ------
    ThresholdError
        If there are fewer members than one group needs.
    """
    if group_size is None:
        return [order]
    if not 1 <= group_size <= len(order):
        raise ThresholdError(
            f"{len(order)} members make no group of {group_size}: lower group_size or have more."
        )
    return np.array_split(order, len(order) // group_size)


def neighbours(cohort: NDArray[np.int64], degree: int, number: int) -> NDArray[np.int64]:
    """A member's neighbours: the nearest on the ring, first those behind it, then those before it.

    Parameters
    ----------
    cohort : (n,) distinct members in their order around the ring
    degree : int
        Even and below n - 1, or n - 1 for all others.

    Raises
    ------
    ValueError
        If the degree is not of this kind, or the member not of this cohort.
    """
    place = np.flatnonzero(cohort == number)
    if place.size != 1:
        raise ValueError(f"member {number} is not once in the cohort of {len(cohort)}.")
    return np.asarray(cohort[(place[0] + _offsets(len(cohort), degree)) % len(cohort)])


def neighbour_table(cohort: NDArray[np.int64], degree: int) -> NDArray[np.int64]:
    """The `neighbours` of each member of a cohort, in its order; shape (n, degree)."""
    size = len(cohort)
    places = np.arange(size)[:, None] + _offsets(size, degree)
    return np.asarray(cohort[places % size])


def _offsets(size: int, degree: int) -> NDArray[np.int64]:
    if degree == size - 1:
        return np.arange(1, size)
    if degree % 2 or not 2 <= degree < size - 1:
        raise ValueError(
            f"a ring of {size} members needs an even degree of 2 to {size - 2}, or {size - 1} for "
            f"all others; got {degree}."
        )
    ahead = np.arange(1, degree // 2 + 1)
    return np.concatenate((ahead, -ahead))
