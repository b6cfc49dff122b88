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
        """1 / (n - f) for neighbours."""
        n_near = gram.n_clients - gram.n_byzantine
        near = np.argpartition(gram.squared_distances(), n_near - 1, axis=1)[:, :n_near]
        mixing = np.zeros((gram.n_clients, gram.n_clients), dtype=np.float32)
        np.put_along_axis(mixing, near, np.float32(1.0 / n_near), axis=1)
        return gram.mixing(mixing), state
