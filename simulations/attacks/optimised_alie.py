"""A little is enough with the factor that hurts the known rule most."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.alie import ALIE
from simulations.attacks.round_view import RoundView
from simulations.attacks.worst_factor import worst_factor

__all__ = ["OptimisedALIE"]


@dataclass(frozen=True, kw_only=True)
class OptimisedALIE(ALIE):
    """`ALIE` whose factor, of either sign, is searched for in every round, if the rule is known.

    Allouah et al. (2023), "Fixing by mixing", section 6, https://arxiv.org/abs/2302.01772:
    the factor at which the aggregate lies farthest from the mean of the honest updates. Without
    knowledge of the rule, `ALIE` as it is.

    Parameters
    ----------
    largest : float
        Of the factors tried, in standard deviations.
    """

    largest: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.largest > 0.0:
            raise ValueError(f"largest must be positive, got {self.largest}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        if view.aggregate is None:
            return super().craft(view, rng)
        mean, deviation = view.benign.mean(axis=0), view.benign.std(axis=0)
        z = worst_factor(view, mean, -deviation, largest=self.largest, both_signs=True)
        return view.repeated(mean - z * deviation)
