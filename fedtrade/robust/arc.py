"""Adaptive robust clipping: the longest updates are cut to the length of the next."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.clipping import clip_factors
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["AdaptiveRobustClipping"]


@dataclass(frozen=True, slots=True)
class AdaptiveRobustClipping(GramStep):
    """A mixer: the k = floor(2 f (n - f) / n) longest rows get the norm of the (k + 1)th longest.

    Allouah et al. (2025), "Adaptive gradient clipping for robust federated learning",
    algorithm 2, https://arxiv.org/abs/2405.14432.
    """

    name: ClassVar[str] = "arc"
    bound: ClassVar[str] = "n >= 2f + 1"
    is_mixer: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = True

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """As many as come in."""
        return n_clients

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Factors on the diagonal."""
        n, f = gram.n_clients, gram.n_byzantine
        n_clipped = 2 * f * (n - f) // n
        norms = gram.norms()
        radius = float(np.sort(norms)[n - n_clipped - 1])
        return gram.mixing(np.diag(clip_factors(norms, radius))), state
