"""Sums with Gaussian noise of the analytic calibration (Balle and Wang 2018)."""

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.privacy.calibration import noise_multiplier
from fedtrade.privacy.checks import check_clip, check_target
from fedtrade.privacy.events import Gaussian
from fedtrade.privacy.lattice_noise import discrete_gaussian
from fedtrade.privacy.mechanisms.contributions import clipped_sum, lattice_step
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["gaussian"]

_ROUNDING = 17.0
"""Over squared steps of noise: more than twice (z^2 + 1) / 24 with z^2 = 200. By (z^2 + 1) / 24 of
a squared step the log-probability of a discrete Gaussian differs from that of a rounded continuous
one; z^2 is below 200 but for a probability below 1e-40."""
_REST = 1.0 - 1e-6


def gaussian(
    rows: ArrayLike, *, clip: float, epsilon: float, delta: float, n_units: int | None = None
) -> Release[NDArray[np.float64]]:
    """The sum of units' contributions, each number with Gaussian noise of the least width.

    Contributions and noise lie on a lattice whose step is less than a millionth of the noise. On it
    the noise is a discrete Gaussian, which differs from a rounded continuous one so little that
    1e-10 of epsilon a number covers it; that is set aside here.

    Parameters
    ----------
    rows : array of shape (n_units,) or (n_units, n_params)
        One row a unit.
    clip : float
        Largest L2 norm of a row; a longer one is scaled down to it.
    n_units : int or None
        How many units there may be, from public knowledge; delta must be less than one over it.
    epsilon, delta : float
        Against adding or removing one unit.

    Returns
    -------
    Release of float64 of shape (n_params,), (1,) of rows of shape (n_units,)

    Raises
    ------
    PrivacyError
        If a value is out of range or not finite.
    """
    check_target(epsilon, delta, n_units)
    check_clip(clip)
    n_params = _n_params(rows)
    claimed = noise_multiplier(epsilon, delta, 1)
    step = lattice_step(clip, clip * claimed)
    rest = epsilon * _REST - n_params * _ROUNDING * (step / (clip * claimed)) ** 2
    noise = noise_multiplier(rest, delta * _REST, 1)
    found = clipped_sum(rows, clip, "l2", step)
    drawn = discrete_gaussian(n_params, noise * found.sensitivity, os.urandom)
    noised = np.multiply(found.total + drawn, step, dtype=np.float64)
    return Release(noised, Gaussian(claimed))


def _n_params(rows: ArrayLike) -> int:
    shape = np.shape(rows)
    return shape[1] if len(shape) > 1 else 1
