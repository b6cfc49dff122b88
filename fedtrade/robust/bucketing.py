"""Bucketing: means of small random groups, which are more alike than their members."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import at_least_two
from fedtrade.robust.gram import Gram
from fedtrade.robust.options import check_whole
from fedtrade.robust.step import GramStep, StepState

__all__ = ["Bucketing"]


@dataclass(frozen=True, slots=True)
class Bucketing(GramStep):
    """A mixer: the weighted means of random groups of `size` rows; the last may be smaller.

    Karimireddy, He and Jaggi (2022), "Byzantine-robust learning on heterogeneous datasets via
    bucketing", algorithm 1, https://arxiv.org/abs/2006.09365. Each liar spoils at most one group,
    so that the rule behind it has to bear f among ceil(n / size).

    Attributes
    ----------
    size : int
        At least 1.
    """

    name: ClassVar[str] = "bucketing"
    bound: ClassVar[str] = "n > f"
    is_mixer: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = True

    size: int = 2

    def __post_init__(self) -> None:
        check_whole(self.name, "size", self.size)

    def least_clients(self, n_byzantine: int) -> int:
        """One more than lie; what follows needs more."""
        return at_least_two(n_byzantine + 1)

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """ceil(n / size)."""
        return -(-n_clients // self.size)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Each client's share in its group."""
        n = gram.n_clients
        groups = rng.permutation(n) // self.size
        mixing = np.zeros((self.n_out(n, gram.n_byzantine), n))
        mixing[groups, np.arange(n)] = gram.weights
        totals = mixing.sum(axis=1, keepdims=True)
        return gram.mixing(mixing / np.where(totals > 0.0, totals, 1.0)), state
