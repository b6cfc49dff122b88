"""Sums of whole numbers with discrete Laplace noise (Ghosh, Roughgarden and Sundararajan 2012)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.privacy.checks import check_spend
from fedtrade.privacy.events import Pure
from fedtrade.privacy.mechanisms.contributions import clipped_integers
from fedtrade.privacy.mechanisms.opendp_noise import laplace_noised
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["discrete_laplace"]


def discrete_laplace(rows: ArrayLike, *, clip: int, epsilon: float) -> Release[NDArray[np.int64]]:
    """The sum of units' whole numbers, each number with noise on whole numbers.

    The noise is k with a probability proportional to exp(-epsilon |k| / clip).

    Parameters
    ----------
    rows : integers of shape (n_units,) or (n_units, n_params)
        One row a unit.
    clip : int
        Largest L1 norm of a row; a longer one is scaled down to it.
    epsilon : float
        Against adding or removing one unit.

    Returns
    -------
    Release of int64 of shape (n_params,), (1,) of rows of shape (n_units,)

    Raises
    ------
    PrivacyError
        If a value is out of range.
    """
    check_spend(epsilon)
    found = clipped_integers(rows, clip, "l1")
    noised, proven = laplace_noised(found.total, found.sensitivity, epsilon)
    return Release(noised, Pure(proven))
