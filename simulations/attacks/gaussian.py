"""Gaussian noise instead of updates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["Gaussian"]


@dataclass(frozen=True, kw_only=True)
class Gaussian(UpdateAttack):
    """Independent normal values of mean zero.

    Blanchard et al. (2017), "Machine learning with adversaries", section 5,
    https://arxiv.org/abs/1703.02757, where the deviation is 200; here it is relative, because the
    size of an honest update depends on the problem.

    Parameters
    ----------
    std_ratio : float
        Standard deviation over the root mean square of the honest updates' entries; positive.
    """

    std_ratio: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.std_ratio > 0.0:
            raise ValueError(f"std_ratio must be positive, got {self.std_ratio}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        size = np.sqrt(np.square(view.benign).mean()) if view.benign.size else 0.0
        return rng.normal(0.0, self.std_ratio * size, view.own.shape).astype(np.float32)
