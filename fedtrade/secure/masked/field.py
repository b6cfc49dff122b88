"""Arithmetic in the field of 65537 elements, the smallest that holds every 16-bit number.

Elements are unsigned integers of 0 to 65536. Products take the same time whatever their factors;
`inverse` and `power` look up tables, so they are for public numbers only.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_TERMS",
    "PRIME",
    "from_log",
    "inverse",
    "log_products",
    "matmul",
    "mul",
    "power",
]

Matrix = NDArray[np.integer] | NDArray[np.float64]

PRIME: Final = 65537
ORDER: Final = PRIME - 1
GENERATOR: Final = 3
MAX_TERMS: Final = (1 << 21) - 1
"""Most terms of a sum of products that float64 holds exactly: n * 65536**2 < 2**53."""


def _tables() -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    powers = np.empty(ORDER, dtype=np.uint32)
    logs = np.zeros(PRIME, dtype=np.int32)
    value = 1
    for exponent in range(ORDER):
        powers[exponent] = value
        logs[value] = exponent
        value = value * GENERATOR % PRIME
    return powers, logs


# The logarithm of 0, which does not exist, is stored as 0: see `log_products`.
_EXP, _LOG = _tables()


def mul(left: ArrayLike, right: ArrayLike) -> NDArray[np.uint32]:
    """The products, entry by entry, shapes broadcast."""
    product = np.multiply(left, right, dtype=np.int64, casting="unsafe")
    # 2**16 = -1 in this field.
    folded = (product & 0xFFFF) - (product >> 16)
    folded += (folded >> 63) & PRIME
    return np.asarray(folded).astype(np.uint32)


def power(base: ArrayLike, exponent: ArrayLike) -> NDArray[np.uint32]:
    """Powers of bases that are not zero, shapes broadcast; exponents may be negative."""
    logs = _LOG[_units(base)].astype(np.int64)
    return np.asarray(_EXP[logs * np.asarray(exponent, dtype=np.int64) % ORDER])


def inverse(values: ArrayLike) -> NDArray[np.uint32]:
    """The multiplicative inverses.

    Raises
    ------
    ZeroDivisionError
        If a value is zero.
    """
    return np.asarray(_EXP[-_LOG[_units(values)] % ORDER])


def _units(values: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(values, dtype=np.int64)
    if not found.all():
        raise ZeroDivisionError("0 has no inverse and no logarithm in the field of 65537 elements.")
    return found


def log_products(values: NDArray[np.signedinteger], axis: int) -> NDArray[np.int64]:
    """Logarithms, to the base of `power`'s generator, of the products along an axis.

    Entries of -65536 to 65536 are taken modulo 65537. Zeros are left out of the product, as the
    factor x_i - x_i of an interpolation is.
    """
    # A negative index counts from the end of the table, which is the residue modulo 65537.
    total = _LOG[values].sum(axis=axis, dtype=np.int64) % ORDER
    return np.asarray(total)


def from_log(logs: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The elements of these logarithms."""
    return np.asarray(_EXP[logs % ORDER])


def matmul(left: Matrix, right: Matrix) -> NDArray[np.uint32]:
    """The product of matrices, or of stacks of them as `numpy.matmul` takes them.

    Raises
    ------
    ValueError
        If there are more than `MAX_TERMS` terms in a sum: float64 would round it.
    """
    n_terms = left.shape[-1]
    if n_terms > MAX_TERMS:
        raise ValueError(
            f"a sum of {n_terms} products is not exact in float64: n * 65536**2 must be below "
            f"2**53, so n at most {MAX_TERMS}."
        )
    product = np.matmul(left.astype(np.float64, copy=False), right.astype(np.float64, copy=False))
    return np.asarray(product.astype(np.int64) % PRIME).astype(np.uint32)
