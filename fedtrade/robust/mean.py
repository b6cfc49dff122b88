"""The weighted mean: the rule of federated averaging, and no defence at all."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["Mean"]


@dataclass(frozen=True, slots=True)
class Mean(GramStep):
    """Mean of the rows under their weights.

    McMahan et al. (2017), "Communication-efficient learning of deep networks from decentralized
    data", algorithm 1, https://arxiv.org/abs/1602.05629. One liar moves it anywhere, so alone it
    takes none; behind a mixer it only adds up.
    """

    name: ClassVar[str] = "mean"
    bound: ClassVar[str] = "f = 0"
    uses_weights: ClassVar[bool] = True

    def least_clients(self, n_byzantine: int) -> int:
        """One."""
        return 1

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """The weights."""
        return gram.mixing(gram.shares), state
