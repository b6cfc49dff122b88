"""A random projection that keeps distances: cheaper Gram matrices of long rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sketch"]

ONE = np.float32(1.0).view(np.uint32)


@dataclass(frozen=True, slots=True)
class Sketch:
    """Projects rows to `size` coordinates by a matrix of random signs.

    Johnson and Lindenstrauss (1984); signs: Achlioptas (2003), "Database-friendly random
    projections", https://doi.org/10.1016/S0022-0000(03)00025-4. A squared distance comes out right
    on average, with a relative standard deviation of at most sqrt(2 / size): 8.8 % for 256, 4.4 %
    for 1,024. All n (n - 1) / 2 are within a share e of the truth with probability 1 - p for
    size >= 4 log(n^2 / p) / (e^2 - 2 e^3 / 3). The signs must be drawn after the rows are
    known, or a liar hides in the directions that they do not see.

    Attributes
    ----------
    size : int
        Coordinates of the projection, at least 1.
    seed : int
        Of the signs.
    """

    size: int
    seed: int

    def project(self, blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The rows, given in blocks of their columns, as float32 of shape (n_rows, size)."""
        rng = np.random.default_rng(self.seed)
        total: NDArray[np.float32] | None = None
        for block in blocks:
            part = block @ _signs(rng, block.shape[1], self.size)
            total = part if total is None else np.add(total, part, out=total)
        if total is None:
            raise ValueError("there is nothing to project: no block was given.")
        total *= np.float32(1.0 / np.sqrt(self.size))
        return total


def _signs(rng: np.random.Generator, n_rows: int, n_columns: int) -> NDArray[np.float32]:
    bits = np.unpackbits(rng.integers(0, 256, -(-n_rows * n_columns // 8), dtype=np.uint8))
    # The sign of a float is its highest bit: plus or minus one without arithmetic.
    words = bits[: n_rows * n_columns].astype(np.uint32)
    words <<= np.uint32(31)
    words |= ONE
    return words.view(np.float32).reshape(n_rows, n_columns)
