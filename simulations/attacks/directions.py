"""Directions in which an update is perturbed."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Direction", "check_direction", "perturbation"]

Direction: TypeAlias = Literal["unit", "sign", "std"]
_KNOWN = ("unit", "sign", "std")


def check_direction(direction: str) -> None:
    """Refuse a direction that is unknown with a `ValueError`."""
    if direction not in _KNOWN:
        raise ValueError(f"direction must be one of {', '.join(_KNOWN)}, got {direction!r}.")


def perturbation(updates: NDArray[np.float64], direction: Direction) -> NDArray[np.float64]:
    """Against the mean of the updates (n, n_params), shape (n_params,).

    `unit`: the mean's opposite, of length 1; `sign`: the opposite of its signs; `std`: minus the
    standard deviations. Shejwalkar and Houmansadr (2021), section IV-A. A mean of zero has no unit
    vector; zeros take its place.
    """
    mean = updates.mean(axis=0)
    against: NDArray[np.float64]
    if direction == "sign":
        against = np.sign(mean)
    elif direction == "std":
        against = updates.std(axis=0)
    else:
        against = mean / (np.linalg.norm(mean) or 1.0)
    return -against
