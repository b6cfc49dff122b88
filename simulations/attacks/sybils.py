"""Sybil clones: one liar under many names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["Sybils"]


@dataclass(frozen=True, kw_only=True)
class Sybils(UpdateAttack):
    """All liars send one crafted vector, each with a tiny jitter of its own.

    Fung, Yoon and Beschastnikh (2020), "The limitations of federated learning in Sybil settings",
    https://www.usenix.org/conference/raid2020/presentation/fung. The vector is `-factor` times the
    mean of their own updates: alike enough to be a cluster, too large to be outvoted by a mean.

    Parameters
    ----------
    factor : float
        Positive.
    jitter : float
        Standard deviation of what is added to each entry, over the root mean square of the
        vector. Not negative.
    """

    factor: float = 5.0
    jitter: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor > 0.0 or not self.jitter >= 0.0:
            raise ValueError(
                "factor must be positive and jitter not negative, got "
                f"{self.factor}, {self.jitter}."
            )

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        if not view.own.size:
            return view.own.copy()
        crafted = -self.factor * view.own.astype(np.float64).mean(axis=0)
        size = self.jitter * np.sqrt(np.square(crafted).mean())
        jitter = rng.normal(0.0, size, view.own.shape).astype(np.float32)
        return view.repeated(crafted) + jitter
