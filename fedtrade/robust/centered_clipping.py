"""Centred clipping: nobody moves the previous aggregate by more than a radius."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.clipping import clip_factors
from fedtrade.robust.gram import Gram
from fedtrade.robust.options import check_positive, check_whole
from fedtrade.robust.step import GramStep, StepState

__all__ = ["PREVIOUS", "CenteredClipping"]

PREVIOUS = "previous"
"""The anchor that is the previous aggregate, or the origin in the first round."""


@dataclass(frozen=True, slots=True)
class CenteredClipping(GramStep):
    """From v, the previous aggregate: v + sum_i w_i (x_i - v) min(1, radius / |x_i - v|), repeated.

    Karimireddy, He and Jaggi (2021), "Learning from history for Byzantine robust optimization",
    algorithm 2, https://arxiv.org/abs/2012.10333. Their guarantee needs a share of liars below
    about a tenth and clients that send momentum.

    Attributes
    ----------
    radius : float or None
        The most that one client moves the aggregate, in the updates' unit; if None, in each
        iteration the median distance of the clients, which an honest majority keeps honest.
    n_iterations : int
        At least 1.
    """

    name: ClassVar[str] = "centered_clipping"
    bound: ClassVar[str] = "n >= 2f + 1"
    uses_weights: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = (PREVIOUS,)

    radius: float | None = None
    n_iterations: int = 3

    def __post_init__(self) -> None:
        if self.radius is not None:
            check_positive(self.name, "radius", self.radius)
        check_whole(self.name, "n_iterations", self.n_iterations)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Coefficients of the clients, and of the previous aggregate what is left to one."""
        n = gram.n_clients
        centre = np.zeros(gram.n_rows)
        centre[gram.row_of(PREVIOUS)] = 1.0
        for _ in range(self.n_iterations):
            distances = gram.distances_to(centre)
            pulls = gram.shares * clip_factors(distances, self.radius)
            centre *= 1.0 - pulls.sum()
            centre[:n] += pulls
        return centre[None], state
