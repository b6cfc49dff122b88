"""Min-Max: as far from the mean as the farthest two honest updates are apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.directions import Direction, check_direction, perturbation
from simulations.attacks.round_view import RoundView

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
class MinMax(UpdateAttack):
    """All liars send the mean of the honest updates, perturbed as far as `min_max_factor` allows.

    Shejwalkar and Houmansadr (2021), "Manipulating the Byzantine", NDSS,
    https://doi.org/10.14722/ndss.2021.24498. It needs no knowledge of the rule.

    Parameters
    ----------
    direction : {"unit", "sign", "std"}
        See `perturbation`.
    omniscient : bool
        See `UpdateAttack`.
    """

    direction: Direction = "std"
    omniscient: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_direction(self.direction)

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        direction = perturbation(view.benign, self.direction)
        gamma = min_max_factor(view.benign, direction)
        return view.repeated(view.benign.mean(axis=0) + gamma * direction)
