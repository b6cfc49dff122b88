"""Sums of residues with integer weights, reduced only when they are asked for."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["ResidueSum"]

HALF_BITS = 32
MOST_WEIGHT = 1 << HALF_BITS
"""Of a sum: so many halves of words stay within 64 bits."""


class ResidueSum:
    """Adds arrays of words below given moduli.

    The halves of the words are added up by themselves, in 64 bits each. So a word costs two
    products with a small integer and two additions, and none of it a reduction.

    Parameters
    ----------
    moduli : sequence of int
        Of up to 62 bits.
    shape : (n_arrays, parts, primes, degree)
        Of what is added; the third axis is that of the moduli.
    """

    def __init__(self, moduli: tuple[int, ...], shape: tuple[int, int, int, int]) -> None:
        self._moduli, self._shape, self._weight = moduli, shape, 0
        self._halves = np.zeros((*shape, 2), np.uint64)
        self._product = np.empty(self._halves.shape[1:], np.uint64)

    def add(self, arrays: list[NDArray[np.uint64]], weight: int) -> None:
        """Add `weight` times the arrays, each contiguous and of shape (parts, primes, degree).

        Raises
        ------
        ValueError
            If the weights of a sum come to more than 2^32.
        """
        if self._weight + weight > MOST_WEIGHT:
            raise ValueError(f"weights of a sum may come to {MOST_WEIGHT}, got {weight} more.")
        self._weight += weight
        for halves, words in zip(self._halves, arrays, strict=True):
            added = words.astype("<u8", copy=False).view("<u4").reshape(halves.shape)
            if weight > 1:
                added = np.multiply(added, np.uint64(weight), out=self._product)
            np.add(halves, added, out=halves)

    def total(self) -> NDArray[np.uint64]:
        """The sum below the moduli, of the shape of what was added."""
        total = np.empty(self._shape, np.uint64)
        for place, modulus in enumerate(self._moduli):
            low, high = np.moveaxis(self._halves[:, :, place], -1, 0)
            shifted = _times_half(_reduced(high, modulus), modulus)
            total[:, :, place] = _reduced(_reduced(low, modulus) + shifted, modulus)
        return total


def _reduced(words: NDArray[np.uint64], modulus: int) -> NDArray[np.uint64]:
    """Modulo; numpy divides by one number faster than it finds remainders."""
    divisor = np.uint64(modulus)
    return words - words // divisor * divisor


def _times_half(words: NDArray[np.uint64], modulus: int) -> NDArray[np.uint64]:
    """2^32 times words below the modulus, by as many digits at once as 64 bits have room for."""
    step, left = 64 - modulus.bit_length(), HALF_BITS
    while left:
        bits = min(step, left)
        words, left = _reduced(words << np.uint64(bits), modulus), left - bits
    return words
