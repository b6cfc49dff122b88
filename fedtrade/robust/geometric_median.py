"""The geometric median: the point with the least sum of distances to the rows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["GeometricMedian"]


@dataclass(frozen=True, slots=True)
class GeometricMedian(GramStep):
    """The weighted geometric median by the smoothed Weiszfeld algorithm.

    Pillutla, Kakade and Harchaoui (2022), "Robust aggregation for federated learning" (RFA),
    algorithm 3, https://arxiv.org/abs/1912.13445. The median is a mixture of the rows, so that the
    iteration runs on coefficients and distances. It starts at the mean of the half of the rows
    that is nearest to the mean of all, which outliers seldom belong to.

    Attributes
    ----------
    n_iterations : int
        At most.
    tolerance : float
        It ends when no coefficient moves by more than this share of one over n.
    smoothing : float
        Distances below it, in medians of all, count as that much.
    """

    name: ClassVar[str] = "geometric_median"
    bound: ClassVar[str] = "n >= 2f + 1"
    uses_weights: ClassVar[bool] = True

    n_iterations: int = 200
    tolerance: float = 1e-4
    smoothing: float = 1e-6

    def __post_init__(self) -> None:
        if self.n_iterations < 1 or not self.tolerance >= 0.0 or not self.smoothing > 0.0:
            raise ValueError(
                "geometric_median: n_iterations must be at least 1, tolerance not negative and "
                f"smoothing positive, got {self.n_iterations}, {self.tolerance}, {self.smoothing}."
            )

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Coefficients with sum one, inversely to the distance from the median."""
        coefficients = _start(gram)
        for _ in range(self.n_iterations):
            distances = gram.distances_to(gram.mixing(coefficients)[0])
            least = self.smoothing * float(np.median(distances))
            if not least > 0.0:  # most rows are the same: they are the median
                break
            closeness = gram.weights / np.maximum(distances, least)
            before, coefficients = coefficients, closeness / closeness.sum()
            moved = float(np.abs(coefficients - before).max()) * gram.n_clients
            if moved <= self.tolerance:
                break
        return gram.mixing(coefficients), state


def _start(gram: Gram) -> NDArray[np.float64]:
    """Coefficients of the mean of the half that is nearest to the mean."""
    distances = gram.distances_to(gram.mixing(gram.shares)[0])
    near = distances <= np.median(distances)
    inside = np.where(near, gram.weights, 0.0)
    return inside / inside.sum() if inside.any() else gram.shares
