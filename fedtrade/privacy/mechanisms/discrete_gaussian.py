"""Sums of whole numbers with discrete Gaussian noise (Canonne, Kamath and Steinke 2020)."""

import os
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.privacy import lattice_noise
from fedtrade.privacy.calibration import least_noise
from fedtrade.privacy.checks import check_target
from fedtrade.privacy.events import DiscreteGaussian
from fedtrade.privacy.mechanisms.contributions import clipped_integers
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["discrete_gaussian"]


def discrete_gaussian(
    rows: ArrayLike, *, clip: int, epsilon: float, delta: float, n_units: int | None = None
) -> Release[NDArray[np.int64]]:
    """The sum of units' whole numbers, each number with noise on whole numbers.

    Parameters
    ----------
    rows : integers of shape (n_units,) or (n_units, n_params)
        One row a unit.
    clip : int
        Largest L2 norm of a row; a longer one is scaled down to it.
    n_units : int or None
        How many units there may be, from public knowledge; delta must be less than one over it.
    epsilon, delta : float
        Against adding or removing one unit, by the moments of the noise.

    Returns
    -------
    Release of int64 of shape (n_params,), (1,) of rows of shape (n_units,)

    Raises
    ------
    PrivacyError
        If a value is out of range.
    """
    check_target(epsilon, delta, n_units)
    found = clipped_integers(rows, clip, "l2")
    n_params = len(found.total)

    def event(noise: float) -> DiscreteGaussian:
        stddev = max(noise * found.sensitivity, 0.5)
        l1 = found.sensitivity * min(sqrt(n_params), float(found.sensitivity))
        return DiscreteGaussian(stddev, float(found.sensitivity), l1, n_params)

    own = event(least_noise(event, epsilon, delta))
    noise = lattice_noise.discrete_gaussian(n_params, own.stddev, os.urandom)
    return Release(found.total + noise, own)
