"""Nearest-neighbour mixing: each update is replaced by the mean of its neighbourhood."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["NearestNeighbourMixing"]


@dataclass(frozen=True, slots=True)
class NearestNeighbourMixing(GramStep):
    """A mixer: each row becomes the mean of the n - f rows nearest to it, itself included.

    Rows that are equally far all count, as the last of the n - f does.

    Allouah et al. (2023), "Fixing by mixing: a recipe for optimal Byzantine ML under
    heterogeneity", algorithm 2, https://arxiv.org/abs/2302.01772.
    """

    name: ClassVar[str] = "nnm"
    bound: ClassVar[str] = "n >= 2f + 1"
    is_mixer: ClassVar[bool] = True

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """As many as come in."""
        return n_clients

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Equal shares of the neighbours."""
        distances = gram.squared_distances()
        n_near = gram.n_clients - gram.n_byzantine
        reach = np.partition(distances, n_near - 1, axis=1)[:, n_near - 1]
        mixing = (distances <= reach[:, None]).astype(np.float32)
        mixing /= mixing.sum(axis=1, keepdims=True)
        return gram.mixing(mixing), state
