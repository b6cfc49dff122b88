"""The median of each coordinate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.step import CoordinateStep, Kept

__all__ = ["Median", "middle_of"]


def middle_of(
    ordered: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Medians of rows in rising order, and the one or two values they lie between."""
    n = ordered.shape[1]
    low, high = ordered[:, (n - 1) // 2].copy(), ordered[:, n // 2].copy()
    return np.float32(0.5) * low + np.float32(0.5) * high, low, high


@dataclass(frozen=True, slots=True)
class Median(CoordinateStep):
    """Yin et al. (2018), definition 1, https://arxiv.org/abs/1803.01498.

    Of an even number of values the mean of the two in the middle. (PyTorch, and so ByzFL on its
    tensors, takes the lower one.)
    """

    name: ClassVar[str] = "median"
    bound: ClassVar[str] = "n >= 2f + 1"

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """The middle value."""
        columns.sort(axis=1)
        return Kept(*middle_of(columns))
