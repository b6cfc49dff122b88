"""Inner product manipulation: push the aggregate against the descent direction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["IPM"]


@dataclass(frozen=True, kw_only=True)
class IPM(UpdateAttack):
    """All liars send `-epsilon` times the mean of the honest updates.

    Xie, Koyejo and Gupta (2020), "Fall of empires", section 4,
    https://arxiv.org/abs/1903.03936. A small epsilon stays among the honest updates and hurts rules
    that select; one above n_honest / n_attackers turns the plain mean around.

    Parameters
    ----------
    epsilon : float
        Positive.
    omniscient : bool
        See `UpdateAttack`.
    """

    epsilon: float = 0.1
    omniscient: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epsilon > 0.0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        return view.repeated(-self.epsilon * view.benign.mean(axis=0))
