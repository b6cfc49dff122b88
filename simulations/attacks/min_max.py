"""Min-Max: as far from the mean as the farthest two honest updates are apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from simulations.attacks.perturbed_mean import PerturbedMean

__all__ = ["MinMax", "min_max_factor"]


def min_max_factor(updates: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """The largest gamma for which `mean + gamma * direction` passes for honest.

    No update (n, n_params) may be farther from it than any two of them are from each other;
    Shejwalkar and Houmansadr (2021), equation 7. Where the paper bisects gamma, this solves the
    quadratic equation of each update and takes the smallest root.
    """
    bound = float(pdist(updates, "sqeuclidean").max(initial=0.0))
    offsets = updates.mean(axis=0) - updates
    a = float(direction @ direction)
    if a == 0.0:
        return 0.0
    b = offsets @ direction
    c = np.square(offsets).sum(axis=1) - bound  # not positive: the mean lies among the updates
    return max(float(((np.sqrt(np.maximum(b * b - a * c, 0.0)) - b) / a).min()), 0.0)


@dataclass(frozen=True, kw_only=True)
class MinMax(PerturbedMean):
    """All liars send the honest mean, perturbed as far as `min_max_factor` allows."""

    def factor(self, updates: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
        """See `min_max_factor`."""
        return min_max_factor(updates, direction)
