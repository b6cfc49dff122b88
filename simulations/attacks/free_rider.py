"""Free riders: take the model and give nothing."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["FreeRider"]


@dataclass(frozen=True, kw_only=True)
class FreeRider(UpdateAttack):
    """Send zeros, or the last change of the global model once more.

    Lin, Du and Liu (2019), "Free-riders in federated learning", https://arxiv.org/abs/1911.12560;
    Fraboni, Vidal and Lorenzi (2021), https://arxiv.org/abs/2006.11901. It needs no data and
    knows only what the server sends. In the first round there is no change yet, and both send
    zeros; so do entries of an update beyond the global vector's.

    Parameters
    ----------
    sends : {"zeros", "echo"}
    noise : float
        Standard deviation of what is added to each entry, over the root mean square of the last
        change; different for each rider. Not negative.
    """

    sends: Literal["zeros", "echo"] = "zeros"
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sends not in ("zeros", "echo"):
            raise ValueError(f"sends must be 'zeros' or 'echo', got {self.sends!r}.")
        if not self.noise >= 0.0:
            raise ValueError(f"noise must not be negative, got {self.noise}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        sent = np.zeros_like(view.own)
        if view.previous is None or not len(view.previous):
            return sent
        length = min(len(view.previous), view.n_params)
        last = view.previous[:length].astype(np.float64)
        if self.sends == "echo":
            sent[:, :length] = last
        size = self.noise * float(np.sqrt(np.square(last).mean()))
        sent[:, :length] += rng.normal(0.0, size, (view.n_attackers, length)).astype(np.float32)
        return sent
