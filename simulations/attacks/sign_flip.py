"""Sign flip: each liar sends the opposite of what it computed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["SignFlip"]


@dataclass(frozen=True, kw_only=True)
class SignFlip(UpdateAttack):
    """`-factor` times the own update.

    Li et al. (2019), "RSA: Byzantine-robust stochastic aggregation methods", section 6,
    https://arxiv.org/abs/1811.03761. It needs no knowledge of others.

    Parameters
    ----------
    factor : float
        Positive.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor > 0.0:
            raise ValueError(f"factor must be positive, got {self.factor}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        return np.float32(-self.factor) * view.own
