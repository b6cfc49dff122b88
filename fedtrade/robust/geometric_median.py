"""The geometric median: the point with the least sum of distances to the rows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.gram import Gram
from fedtrade.robust.options import check_positive, check_whole
from fedtrade.robust.step import GramStep, StepState

__all__ = ["GeometricMedian"]


@dataclass(frozen=True, slots=True)
class GeometricMedian(GramStep):
    """The weighted geometric median by the smoothed Weiszfeld algorithm.

    Pillutla, Kakade and Harchaoui (2022), "Robust aggregation for federated learning" (RFA),
    algorithm 3, https://arxiv.org/abs/1912.13445. The median is a mixture of the rows, so that the
    iteration runs on coefficients and distances. It starts at the mean of the half of the rows
    that is nearest to the mean of all, which outliers seldom belong to. Where they do, it may not
    come back in time; it then starts again from the row that is closest to most others, which no
    minority can pull away.

    Attributes
    ----------
    n_iterations : int
        At most, from either start.
    tolerance : float
        It ends when the median moves by no more than this share of the rows' median distance.
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
        check_whole(self.name, "n_iterations", self.n_iterations)
        check_positive(self.name, "tolerance", self.tolerance)
        check_positive(self.name, "smoothing", self.smoothing)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1."""
        return any_minority(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Coefficients with sum one, inversely to the distance from the median."""
        found, has_settled = self._descent(gram, _start(gram))
        if not has_settled:
            found, _ = self._descent(gram, _start_amid_most(gram))
        return gram.mixing(found), state

    def _descent(
        self, gram: Gram, coefficients: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], bool]:
        """Coefficients (n_clients,) after the last step, and whether that moved nothing."""
        for _ in range(self.n_iterations):
            distances = gram.distances_to(gram.mixing(coefficients)[0])
            typical = float(np.median(distances))
            least = self.smoothing * typical
            if not least > 0.0:  # most rows are the same: they are the median
                return coefficients, True
            closeness = gram.weights / np.maximum(distances, least)
            before, coefficients = coefficients, closeness / closeness.sum()
            # What is far away moves the median by little changes of its coefficient.
            if np.abs(coefficients - before) @ distances <= self.tolerance * typical:
                return coefficients, True
        return coefficients, False


def _start(gram: Gram) -> NDArray[np.float64]:
    """Coefficients of the mean of the half that is nearest to the mean."""
    distances = gram.distances_to(gram.mixing(gram.shares)[0])
    near = distances <= np.median(distances)
    inside = np.where(near, gram.weights, 0.0)
    return inside / inside.sum() if inside.any() else gram.shares


def _start_amid_most(gram: Gram) -> NDArray[np.float64]:
    """All for the row with the least median distance to the others."""
    typical = np.median(gram.squared_distances(), axis=1)
    coefficients = np.zeros(gram.n_clients)
    coefficients[np.argmin(typical)] = 1.0
    return coefficients
