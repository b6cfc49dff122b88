"""How much of a vector is left when its length is clipped."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["clip_factors"]


def clip_factors(lengths: NDArray[np.float64], radius: float | None) -> NDArray[np.float64]:
    """min(1, radius / length) for each length, shape (n,); the median length if radius is None."""
    most = float(np.median(lengths)) if radius is None else radius
    return most / np.maximum(lengths, most) if most > 0.0 else (lengths == 0.0).astype(np.float64)
