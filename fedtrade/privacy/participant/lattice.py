"""Vectors of a bounded norm on a lattice of integers, so that noise on it can be exact.

A vector is divided by its clip, so that the largest one has norm 1, which is `QUANTA` steps of the
lattice. The clip is no part of what is promised: whoever names a larger or smaller one changes what
the sum is worth, and not what it tells.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import PrivacyError

__all__ = ["HEADROOM", "QUANTA", "headroom", "most_norm", "on_lattice"]

QUANTA: Final = 1 << 16
"""Steps of the largest norm. One step is 1.5e-5 of the clip: what rounding adds is far below the
noise, which is about as large as the clip divided by epsilon."""

HEADROOM: Final = 10.0
"""Deviations of noise that a sum has room for. The noise is subgaussian, so an entry strays further
with a probability below 2 exp(-50) = 4e-22: among 10^10 values of a run one does with less than
2^-37."""


def on_lattice(values: NDArray[np.floating], clip: float) -> NDArray[np.int64]:
    """The vector scaled so that `clip` is `QUANTA` steps, clipped, and rounded to integers.

    A vector within the clip keeps its direction and length but for half a step an entry. What has
    come out has a Euclidean norm of at most `QUANTA`, exactly: the clip is narrower by as much as
    rounding can add (Kairouz, Liu and Steinke 2021, https://arxiv.org/abs/2102.06387, section 4.2,
    bound the same by rounding again).

    Parameters
    ----------
    values : real numbers of shape (n,)
        Those that are not finite count as zero.

    Returns
    -------
    int64 of shape (n,)

    Raises
    ------
    PrivacyError
        If there are too many values for the lattice, or the clip is no positive number.
    """
    if not (math.isfinite(clip) and clip > 0.0):
        raise PrivacyError(f"a clip must be a positive number, got {clip!r}.")
    most = most_norm(values.size)
    wanted = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(np.abs(wanted).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(values.size, dtype=np.int64)
    unit = wanted / largest  # so that no square overflows or is lost
    norm = float(np.linalg.norm(unit))
    length = min(most, norm * (largest / clip) * QUANTA)
    rounded: NDArray[np.int64] = np.rint(unit * (length / norm)).astype(np.int64)
    if int(rounded @ rounded) > QUANTA**2:  # by which all noise is measured
        raise PrivacyError(f"a vector of {values.size} values exceeds its clip after rounding.")
    return rounded


def most_norm(size: int) -> float:
    """The largest norm before rounding, in steps: rounding adds at most sqrt(size) / 2.

    Raises
    ------
    PrivacyError
        If that is less than half of `QUANTA`.
    """
    most = QUANTA - 0.5 * math.sqrt(size) - 1e-6
    if most < QUANTA / 2:
        raise PrivacyError(f"{size} values are too many for a lattice of {QUANTA} steps.")
    return most


def headroom(deviation: float) -> float:
    """Steps that a sum must have room for beside its exact value, for noise of this deviation."""
    return HEADROOM * deviation
