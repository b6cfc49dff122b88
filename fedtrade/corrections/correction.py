"""What is added to the gradient of local training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Correction"]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """The gradient at v becomes `gradient(v) + proximal * (v - start) + shift`.

    Attributes
    ----------
    proximal : float
        Strength of the pull to where training starts; not negative.
    shift : float32 of shape (n_params,) or None
        What is added whatever v is; None for nothing.

    Raises
    ------
    ValueError
        If `proximal` is negative or not finite, or `shift` is not finite.
    """

    proximal: float = 0.0
    shift: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.proximal < np.inf:
            raise ValueError(f"proximal must be finite and not negative, got {self.proximal}.")
        if self.shift is not None and not np.isfinite(self.shift).all():
            raise ValueError("shift must be finite.")
