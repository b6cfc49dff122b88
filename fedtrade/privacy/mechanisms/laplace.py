"""Sums with Laplace noise (Dwork, McSherry, Nissim and Smith 2006)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.privacy.checks import check_clip, check_spend
from fedtrade.privacy.events import Pure
from fedtrade.privacy.mechanisms.contributions import clipped_sum, lattice_step
from fedtrade.privacy.mechanisms.opendp_noise import laplace_noised
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["laplace"]


def laplace(rows: ArrayLike, *, clip: float, epsilon: float) -> Release[NDArray[np.float64]]:
    """The sum of units' contributions, each number with Laplace noise of the scale clip / epsilon.

    Contributions and noise lie on a lattice whose step is a millionth of the smaller of clip and
    scale, so that no low bit tells what the noise was added to.

    Parameters
    ----------
    rows : array of shape (n_units,) or (n_units, n_params)
        One row a unit.
    clip : float
        Largest L1 norm of a row; a longer one is scaled down to it.
    epsilon : float
        Against adding or removing one unit.

    Returns
    -------
    Release of float64 of shape (n_params,), (1,) of rows of shape (n_units,)

    Raises
    ------
    PrivacyError
        If a value is out of range or not finite.
    """
    check_spend(epsilon)
    check_clip(clip)
    found = clipped_sum(rows, clip, "l1", lattice_step(clip, clip / epsilon))
    noised, proven = laplace_noised(found.total, found.sensitivity, epsilon)
    return Release(np.multiply(noised, found.step, dtype=np.float64), Pure(proven))
