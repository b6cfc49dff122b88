"""Scaling: each liar sends its own update many times over."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["Scaling"]


@dataclass(frozen=True, kw_only=True)
class Scaling(UpdateAttack):
    """`factor` times the own update, to outweigh everybody else in a mean.

    Bagdasaryan et al. (2020), "How to backdoor federated learning", equation 3,
    https://arxiv.org/abs/1807.00459. It needs no knowledge of others.

    Parameters
    ----------
    factor : float
        Positive; with the number of participants over that of liars, the mean becomes theirs.
    """

    factor: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor > 0.0:
            raise ValueError(f"factor must be positive, got {self.factor}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        return np.float32(self.factor) * view.own
