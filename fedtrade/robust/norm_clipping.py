"""Norm clipping: no update is longer than a radius."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.clipping import clip_factors
from fedtrade.robust.gram import Gram
from fedtrade.robust.options import check_positive
from fedtrade.robust.step import GramStep, StepState

__all__ = ["NormClipping"]


@dataclass(frozen=True, slots=True)
class NormClipping(GramStep):
    """A mixer: each row times min(1, radius / its norm).

    Sun et al. (2019), "Can you really backdoor federated learning?", section 4,
    https://arxiv.org/abs/1911.07963. It bounds what a liar does and does not recognise one.

    Attributes
    ----------
    radius : float or None
        In the updates' unit; the median norm if None.
    """

    name: ClassVar[str] = "norm_clipping"
    bound: ClassVar[str] = "n >= 2f + 1"
    is_mixer: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = True

    radius: float | None = None

    def __post_init__(self) -> None:
        if self.radius is not None:
            check_positive(self.name, "radius", self.radius)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1, so that the median norm is bounded by an honest one."""
        return any_minority(n_byzantine)

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """As many as come in."""
        return n_clients

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Factors on the diagonal."""
        return gram.mixing(np.diag(clip_factors(gram.norms(), self.radius))), state
