"""Updates of NaN or infinity, of which one is enough to ruin a mean."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["NotFinite"]

_VALUES = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


@dataclass(frozen=True, kw_only=True)
class NotFinite(UpdateAttack):
    """The own update with entries that are not finite.

    Parameters
    ----------
    value : {"nan", "inf", "-inf"}
    entries : float
        Share of the entries, in (0, 1], chosen at random; at least one.
    """

    value: Literal["nan", "inf", "-inf"] = "nan"
    entries: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value not in _VALUES:
            raise ValueError(f"value must be one of {', '.join(_VALUES)}, got {self.value!r}.")
        if not 0.0 < self.entries <= 1.0:
            raise ValueError(f"entries must be in (0, 1], got {self.entries}.")

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        crafted = view.own.copy()
        n_entries = min(max(1, round(self.entries * view.n_params)), view.n_params)
        for row in crafted:
            row[rng.choice(view.n_params, n_entries, replace=False)] = _VALUES[self.value]
        return crafted
