"""What units contribute, clipped and put on a lattice, so that sensitivity is exact.

Sums of floating-point numbers depend on their order, and noise that is added to them shows in its
last bits what it was added to (Mironov 2012; Casacuberta et al. 2022). Here each contribution is
rounded towards zero to a multiple of a public step, its norm is enforced in whole numbers, and the
sum is one of whole numbers: nothing is left for rounding to betray.
"""

from dataclasses import dataclass
from math import floor, log2
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.errors import PrivacyError
from fedtrade.privacy.checks import check_clip

__all__ = ["LatticeSum", "Norm", "clipped_integers", "clipped_sum", "lattice_step"]

Norm: TypeAlias = Literal["l1", "l2", "range"]
"""`range`: each number of a contribution lies in [0, clip]."""

_FINE = 20
"""Bits of the lattice below the smaller of clip and noise."""
_LARGEST = 2**30
"""Of a contribution and of noise in steps, so that squares and sums fit into 64 bits."""


@dataclass(frozen=True, slots=True)
class LatticeSum:
    """A sum of clipped contributions in steps of a lattice.

    Attributes
    ----------
    total : int64 of shape (n_params,)
    sensitivity : int
        The largest norm of one contribution, in steps.
    step : float
        A power of two.
    """

    total: NDArray[np.int64]
    sensitivity: int
    step: float


def lattice_step(clip: float, noise: float) -> float:
    """A power of two far below both, unless they are so far apart that 64 bits do not hold it.

    Raises
    ------
    PrivacyError
        If the noise is so large that nothing could be seen through it, or so small that it hides
        nothing.
    """
    if clip > noise * 2.0**_FINE:
        raise PrivacyError(
            f"noise of {noise:.3g} hides nothing of contributions up to clip={clip}: lower epsilon."
        )
    coarse = max(clip, noise) / _LARGEST
    step = 2.0 ** floor(log2(max(min(clip, noise) * 2.0**-_FINE, coarse)))
    if clip < step:
        raise PrivacyError(
            f"noise of {noise:.3g} leaves nothing of contributions up to clip={clip}: "
            "raise epsilon, or leave the statistic out."
        )
    return step


def clipped_sum(rows: ArrayLike, clip: float, norm: Norm, step: float) -> LatticeSum:
    """Clip each unit's contribution, put it on the lattice, and add all up.

    Parameters
    ----------
    rows : array of shape (n_units,) or (n_units, n_params)
        One row a unit; there may be none.
    clip : float
        Largest norm of a row; a longer one is scaled down to it, or cut to it with `range`.

    Raises
    ------
    PrivacyError
        If a number is not finite, `clip` is not positive, or units are too many for 64 bits.
    """
    check_clip(clip)
    values = _rows(rows)
    if not np.all(np.isfinite(values)):
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise PrivacyError(f"row {row} has a number that is not finite: leave it out or repair it.")
    bound = floor(clip / step)
    steps = np.trunc(_scaled_down(values, clip, norm) / step).astype(np.int64)
    return LatticeSum(_sum(_enforced(steps, bound, norm), bound), bound, step)


def clipped_integers(rows: ArrayLike, clip: int, norm: Norm) -> LatticeSum:
    """As `clipped_sum`, of whole numbers, on the lattice of whole numbers.

    Raises
    ------
    PrivacyError
        If numbers or `clip` are not whole or too large, or `clip` is not positive.
    """
    if type(clip) is not int or not 0 < clip <= _LARGEST:
        raise PrivacyError(f"clip={clip!r} must be a whole number from 1 to {_LARGEST}.")
    kind = np.asarray(rows).dtype.kind
    if kind not in "iu" and np.asarray(rows).size:
        raise PrivacyError("contributions to a discrete mechanism must be whole numbers.")
    values = _rows(rows)
    steps = np.trunc(_scaled_down(values, float(clip), norm)).astype(np.int64)
    return LatticeSum(_sum(_enforced(steps, clip, norm), clip), clip, 1.0)


def _rows(rows: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise PrivacyError(
            f"contributions must have the shape (n_units,) or (n_units, n_params), "
            f"not {values.shape}."
        )
    return values


def _scaled_down(values: NDArray[np.float64], clip: float, norm: Norm) -> NDArray[np.float64]:
    if norm == "range":
        return np.clip(values, 0.0, clip)
    # Relative to the largest, lest squares overflow.
    largest = np.max(np.abs(values), axis=1, keepdims=True, initial=0.0)
    relative = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0.0)
    order = 1 if norm == "l1" else 2
    length = np.linalg.norm(relative, ord=order, axis=1, keepdims=True)
    room = np.divide(clip, length, out=np.full_like(length, np.inf), where=length > 0.0)
    return np.where(largest > room, relative * np.minimum(room, clip), values)


def _enforced(steps: NDArray[np.int64], bound: int, norm: Norm) -> NDArray[np.int64]:
    """With every row's norm at most the bound, exactly; rounding may have left it a step above."""
    if norm == "range":
        return np.clip(steps, 0, bound)
    steps = np.clip(steps, -bound, bound)
    limit = _largest_norm(bound, norm)
    while (is_long := _norms(steps, norm) > limit).any():
        steps[is_long] -= np.sign(steps[is_long])
    return steps


def _norms(steps: NDArray[np.int64], norm: Norm) -> NDArray[np.int64]:
    """L1 norms, or squares of L2 norms, of rows."""
    lengths: NDArray[np.int64] = (np.abs(steps) if norm == "l1" else np.square(steps)).sum(axis=1)
    return lengths


def _largest_norm(bound: int, norm: Norm) -> int:
    return bound if norm == "l1" else bound**2


def _sum(steps: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
    if len(steps) * bound >= 2**62:
        raise PrivacyError(f"{len(steps)} contributions of up to {bound} steps exceed 64 bits.")
    total: NDArray[np.int64] = steps.sum(axis=0)
    return total
