"""Copycats: each liar sends what an honest participant sent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["Copycat"]


@dataclass(frozen=True, kw_only=True)
class Copycat(UpdateAttack):
    """Liar k copies honest participant k, beginning again where there are more liars.

    It earns another's reward, or a share of it. Where no honest reply is known, its own update.

    Parameters
    ----------
    jitter : float
        Standard deviation of what is added to each entry, over the root mean square of the copied
        update, so that copies are not found by comparing bits. Not negative.
    """

    jitter: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.jitter >= 0.0:
            raise ValueError(f"jitter must not be negative, got {self.jitter}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        if not len(view.honest):
            return view.own.copy()
        copies = view.honest[np.arange(view.n_attackers) % len(view.honest)]
        sizes = self.jitter * np.sqrt(np.square(copies.astype(np.float64)).mean(axis=1))
        jitter = (rng.normal(size=copies.shape) * sizes[:, None]).astype(np.float32)
        return np.asarray(copies + jitter, dtype=np.float32)
