"""Histograms of one value a unit."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.errors import PrivacyError
from fedtrade.privacy.mechanisms.discrete_laplace import discrete_laplace
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["histogram"]


def histogram(values: ArrayLike, edges: ArrayLike, *, epsilon: float) -> Release[NDArray[np.int64]]:
    """How many units have a value in each bin, with discrete Laplace noise; may be negative.

    Parameters
    ----------
    values : array of shape (n_units,)
        One a unit; those beyond the edges count in the first or the last bin.
    edges : array of shape (n_bins + 1,)
        Public, and rising. A bin has its left edge, but not its right one.
    epsilon : float
        Against adding or removing one unit, which changes one bin by one.

    Returns
    -------
    Release of int64 of shape (n_bins,)

    Raises
    ------
    PrivacyError
        If a value is not finite, or edges do not rise.
    """
    given, borders = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    if borders.ndim != 1 or len(borders) < 2 or not np.all(np.diff(borders) > 0.0):
        raise PrivacyError("edges of a histogram must be at least two numbers that rise.")
    if given.ndim != 1 or not np.all(np.isfinite(given)):
        raise PrivacyError("values of a histogram must be one finite number a unit.")
    places = np.clip(np.searchsorted(borders, given, side="right") - 1, 0, len(borders) - 2)
    one_hot = (places[:, None] == np.arange(len(borders) - 1)).astype(np.int64)
    return discrete_laplace(one_hot, clip=1, epsilon=epsilon)
