"""Ciphertexts that went wrong on the way, or were made to."""

from collections.abc import Iterator

import numpy as np

__all__ = ["mutations"]


def mutations(data: bytes, n: int, seed: int) -> Iterator[bytes]:
    """`n` mutants: bits and bytes changed (half of them near the start), parts lost or repeated."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        kind = i % 8
        array = np.frombuffer(data, dtype=np.uint8).copy()
        head, anywhere = int(rng.integers(min(200, array.size))), int(rng.integers(array.size))
        if kind in (0, 1):
            array[head] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            array[anywhere] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            places = rng.integers(0, array.size, 20)
            array[places] = rng.integers(0, 256, 20)
        elif kind == 4:
            array = array[:anywhere]
        elif kind == 5:
            array = np.concatenate([array, array[anywhere:]])
        elif kind == 6:
            array = rng.integers(0, 256, anywhere, dtype=np.uint8)
        else:
            array = np.delete(array, head)
        yield array.tobytes()
