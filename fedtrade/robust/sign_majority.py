"""The sign majority: each coordinate moves where most updates point."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.options import check_positive
from fedtrade.robust.step import CoordinateStep, Kept

__all__ = ["SignMajority"]


@dataclass(frozen=True, slots=True)
class SignMajority(CoordinateStep):
    """Majority sign times a length.

    Bernstein et al. (2019), "signSGD with majority vote is communication efficient and fault
    tolerant", algorithm 1, https://arxiv.org/abs/1810.05291. Without a majority the coordinate
    stays.

    Attributes
    ----------
    length : float or None
        How far each coordinate moves, in the updates' unit (the paper's learning rate); if None
        the median of the coordinate's absolute values.
    """

    name: ClassVar[str] = "sign_majority"
    bound: ClassVar[str] = "n >= 2f + 1"

    length: float | None = None

    def __post_init__(self) -> None:
        if self.length is not None:
            check_positive(self.name, "length", self.length)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """Those who voted with the majority had a part in it."""
        vote = np.sign(np.sign(columns).sum(axis=1))
        length = np.median(np.abs(columns), axis=1) if self.length is None else self.length
        tiny, most = np.finfo(np.float32).tiny, np.float32(np.inf)
        low = np.where(vote > 0, tiny, np.where(vote < 0, -most, most))
        high = np.where(vote > 0, most, np.where(vote < 0, -tiny, -most))
        return Kept(*((part.astype(np.float32)) for part in (vote * length, low, high)))
