"""Min-Sum: as far from all honest updates together as the most remote honest one is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from simulations.attacks.perturbed_mean import PerturbedMean

__all__ = ["MinSum", "min_sum_factor"]


def min_sum_factor(updates: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """The largest gamma for which `mean + gamma * direction` passes for honest.

    Its squared distances to all updates (n, n_params) may not add up to more than those of any of
    them do; Shejwalkar and Houmansadr (2021), equation 8. Around the mean that sum is
    `spread + n gamma^2 |direction|^2`, so that no bisection is needed.
    """
    most = float(squareform(pdist(updates, "sqeuclidean")).sum(axis=1).max())
    spread = float(np.square(updates - updates.mean(axis=0)).sum())
    a = len(updates) * float(direction @ direction)
    return float(np.sqrt(max(most - spread, 0.0) / a)) if a > 0.0 else 0.0


@dataclass(frozen=True, kw_only=True)
class MinSum(PerturbedMean):
    """All liars send the honest mean, perturbed as far as `min_sum_factor` allows."""

    def factor(self, updates: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
        """See `min_sum_factor`."""
        return min_sum_factor(updates, direction)
