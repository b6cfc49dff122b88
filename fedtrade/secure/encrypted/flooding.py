"""Gaussian noise from the system's randomness."""

import os

import numpy as np
from numpy.typing import NDArray

__all__ = ["gaussian"]


def gaussian(size: int, deviation: float) -> NDArray[np.float64]:
    """Independent normal numbers of shape (size,) (Box and Muller 1958).

    A statistical generator's state could be worked out from what it has made.
    """
    words = np.frombuffer(os.urandom(16 * size), dtype="<u8").reshape(2, size)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53
    found = np.sqrt(-2.0 * np.log(uniform[0])) * np.cos(2.0 * np.pi * uniform[1])
    return np.asarray(found * deviation)
