"""The trimmed mean: in each coordinate, without the f smallest and the f largest values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.step import CoordinateStep, Kept

__all__ = ["TrimmedMean"]


@dataclass(frozen=True, slots=True)
class TrimmedMean(CoordinateStep):
    """Yin et al. (2018), definition 2, https://arxiv.org/abs/1803.01498."""

    name: ClassVar[str] = "trimmed_mean"
    bound: ClassVar[str] = "n >= 2f + 1"

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """The mean of the middle n - 2f."""
        columns.sort(axis=1)
        middle = columns[:, n_byzantine : columns.shape[1] - n_byzantine]
        values = np.einsum("ij->i", middle)
        values /= np.float32(middle.shape[1])
        return Kept(values, middle[:, 0].copy(), middle[:, -1].copy())
