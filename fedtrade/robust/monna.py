"""MoNNA: the mean of a participant's own update and those nearest to it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["OWN", "MoNNA"]

OWN = "own"
"""The anchor that is the update of whoever aggregates."""


@dataclass(frozen=True, slots=True)
class MoNNA(GramStep):
    """The mean of the own row and the n - f others that are nearest to it.

    Farhadkhani et al. (2023), "Robust collaborative learning with linear gradient overhead",
    section 3, https://arxiv.org/abs/2209.10931: for a participant that trusts itself. n counts the
    others; the paper's n counts the own row too, and so averages n - f.
    """

    name: ClassVar[str] = "monna"
    bound: ClassVar[str] = "n >= 2f + 1"
    anchors: ClassVar[tuple[str, ...]] = (OWN,)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Equal shares."""
        own = np.zeros(gram.n_rows)
        own[gram.row_of(OWN)] = 1.0
        n_near = gram.n_clients - gram.n_byzantine
        nearest = np.argsort(gram.distances_to(own), kind="stable")[:n_near]
        own[nearest] = 1.0
        return own[None] / (n_near + 1.0), state
