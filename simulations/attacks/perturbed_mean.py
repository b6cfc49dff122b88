"""What Min-Max and Min-Sum share: the honest mean, moved as far as still passes for honest."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.directions import Direction, check_direction, perturbation
from simulations.attacks.round_view import RoundView

__all__ = ["PerturbedMean"]


@dataclass(frozen=True, kw_only=True)
class PerturbedMean(UpdateAttack):
    """All liars send the mean of the honest updates plus a factor times a direction.

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

    @abstractmethod
    def factor(self, updates: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
        """How far to go from the mean of the updates (n, n_params), in lengths of the direction."""

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        direction = perturbation(view.benign, self.direction)
        gamma = self.factor(view.benign, direction)
        return view.repeated(view.benign.mean(axis=0) + gamma * direction)
