"""MeaMed: in each coordinate the mean of the values nearest to the median."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.median import middle_of
from fedtrade.robust.step import CoordinateStep, Kept

__all__ = ["BulyanMean", "MeaMed"]


@dataclass(frozen=True, slots=True)
class MeaMed(CoordinateStep):
    """The mean of the n - f values nearest to the median; ties at the edge all count.

    Xie, Koyejo and Gupta (2018), "Generalized Byzantine-tolerant SGD", definition 5,
    https://arxiv.org/abs/1802.10116.
    """

    name: ClassVar[str] = "meamed"
    bound: ClassVar[str] = "n >= 2f + 1"

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """The mean of a window around the median."""
        return _mean_around_median(columns, columns.shape[1] - n_byzantine)


@dataclass(frozen=True, slots=True)
class BulyanMean(CoordinateStep):
    """Bulyan's second step, on the n rows that its selection left: the n - 2f nearest values.

    El Mhamdi, Guerraoui and Rouault (2018), section 4,
    https://proceedings.mlr.press/v80/mhamdi18a.html.
    """

    name: ClassVar[str] = "bulyan_mean"
    bound: ClassVar[str] = "n >= 2f + 1"

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """The mean of a window around the median."""
        return _mean_around_median(columns, columns.shape[1] - 2 * n_byzantine)


def _mean_around_median(columns: NDArray[np.float32], n_kept: int) -> Kept:
    """Of ordered values the nearest to the median stand side by side: find where they begin."""
    columns.sort(axis=1)
    n_starts = columns.shape[1] - n_kept + 1
    median = middle_of(columns)[0][:, None]
    reach = np.maximum(median - columns[:, :n_starts], columns[:, n_kept - 1 :] - median)
    radius = reach.min(axis=1, keepdims=True)
    # The window's ends are values themselves, so that comparisons with them are exact.
    start = reach.argmin(axis=1)
    rows = np.arange(len(columns))
    low, high = columns[rows, start], columns[rows, start + n_kept - 1]
    is_tie = reach == radius
    if is_tie.sum() > len(columns):
        last = n_starts - 1 - is_tie[:, ::-1].argmax(axis=1)
        high = columns[rows, last + n_kept - 1]
    inside = ((columns >= low[:, None]) & (columns <= high[:, None])).astype(np.float32)
    values = np.einsum("ij,ij->i", columns, inside) / inside.sum(axis=1)
    return Kept(values, low, high)
