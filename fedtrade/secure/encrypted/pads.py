"""Pads: elements of a scheme's ring, uniform to whoever does not know the keys they come from.

A member adds a fresh pad to each contribution, and the key holder takes the sum of the named
members' pads off. The stream of AES-256 in counter mode (`fedtrade.secure.masked.masks`) is read in
*rows*, each with counters of its own, so that a row may take as much of its stream as it needs:

- `WordPads`, of the lattice schemes: a row is the words of one chunk modulo one prime. Words of 64
  bits are cut to the prime's length, and those beyond it left out, so the rest are uniform.
- `WidePads`, of Paillier: a row is one number of 128 bits more than the modulus, taken modulo it.
  No residue is more probable than another by a share of more than 2^-128.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.masked.masks import BLOCK_BYTES, key_stream

__all__ = ["WidePads", "WordPads"]

Keyed = Iterable[tuple[bytes, int]]
"""Keys of 32 bytes, and how often each one's pad counts."""

WORD_BYTES = 8
SPARE_WORDS = 64
"""Drawn at first beyond what is needed: of the primes in use nearly no word is left out."""

SPARE_BYTES = 16
HALF_BITS = 32


@dataclass(frozen=True)
class WordPads:
    """Rows of `n_words` residues, one of each modulus for each chunk.

    Attributes
    ----------
    moduli : tuple of int
        Of up to 62 bits.
    n_words : int
    """

    moduli: tuple[int, ...]
    n_words: int

    def total(self, keys: Keyed, n_chunks: int) -> list[bytes]:
        """The keys' pads added up: of each chunk uint64 of shape (moduli, n_words), as bytes."""
        shape = (n_chunks, len(self.moduli), self.n_words)
        # Halves of words, so that weighted sums of a million members stay within 64 bits.
        low, high = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
        mask, shift = np.uint64(2**HALF_BITS - 1), np.uint64(HALF_BITS)
        for key, weight in keys:
            factor = np.uint64(weight)
            for chunk in range(n_chunks):
                for place, modulus in enumerate(self.moduli):
                    row = self._row(key, chunk * len(self.moduli) + place, modulus)
                    low[chunk, place] += (row & mask) * factor
                    high[chunk, place] += (row >> shift) * factor
        return [self._joined(*halves) for halves in zip(low, high, strict=True)]

    def words(self, pad: bytes) -> NDArray[np.uint64]:
        """A chunk's pad, of shape (moduli, n_words)."""
        return np.frombuffer(pad, dtype="<u8").reshape(len(self.moduli), self.n_words)

    def _row(self, key: bytes, row: int, modulus: int) -> NDArray[np.uint64]:
        """The first `n_words` words of the row's stream that are below the modulus."""
        mask = np.uint64((1 << modulus.bit_length()) - 1)
        n_drawn = self.n_words + SPARE_WORDS
        while True:
            stream = key_stream(key, WORD_BYTES * n_drawn, _counter(row))
            words = np.frombuffer(stream, dtype="<u8") & mask
            first = words[: self.n_words]
            if first.max() < modulus:  # nearly always; looking for others takes much longer
                return first
            kept = words[words < np.uint64(modulus)]
            if kept.size >= self.n_words:
                return kept[: self.n_words]
            n_drawn *= 2

    def _joined(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> bytes:
        rows = []
        for lower, upper, modulus in zip(low, high, self.moduli, strict=True):
            whole = lower.astype(object) + (upper.astype(object) << HALF_BITS)
            rows.append((whole % modulus).astype("<u8"))
        return np.stack(rows).tobytes()


@dataclass(frozen=True)
class WidePads:
    """One residue of a long modulus for each chunk."""

    modulus: int

    def total(self, keys: Keyed, n_chunks: int) -> list[bytes]:
        """The keys' pads added up: of each chunk one number, the first byte highest."""
        totals = [0] * n_chunks
        for key, weight in keys:
            for chunk in range(n_chunks):
                stream = key_stream(key, self._n_bytes + SPARE_BYTES, _counter(chunk))
                totals[chunk] += weight * (int.from_bytes(stream, "big") % self.modulus)
        return [(total % self.modulus).to_bytes(self._n_bytes, "big") for total in totals]

    @property
    def _n_bytes(self) -> int:
        return (self.modulus.bit_length() + 7) // 8


def _counter(row: int) -> bytes:
    """Where a row's stream begins: 2^64 blocks each."""
    return row.to_bytes(BLOCK_BYTES // 2, "big") + bytes(BLOCK_BYTES // 2)
