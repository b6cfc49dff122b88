"""Standardise features by moments of the training bars, summed over all participants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Standardiser", "moment_sum", "muted"]

CLIP = 5.0


def moment_sum(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count, sum and sum of squares by feature, shape (3, n_features).

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        NaN where a feature is unknown, which does not count; n may be 0.
    """
    known = np.isfinite(features)
    values = np.where(known, features, 0.0)
    return np.stack([known.sum(axis=0), values.sum(axis=0), np.square(values).sum(axis=0)])


def muted(total: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Moments under which the features in `mask` (n_features,) are standardised to zero.

    Theirs become those of one value of zero and an infinite variance.
    """
    return np.where(mask, np.array([[1.0], [0.0], [np.inf]]), total)


@dataclass(frozen=True, slots=True, eq=False)
class Standardiser:
    """Subtract a mean, divide by a standard deviation, clip to +-5.

    Attributes
    ----------
    mean, std : float64 of shape (n_features,)
        A feature that does not vary has std 1, so that it becomes zero.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def from_sum(cls, total: NDArray[np.float64]) -> "Standardiser":
        """Make it from the total of `moment_sum` over participants.

        Raises
        ------
        ValueError
            If nobody contributed an example.
        """
        count, first, second = total
        if not np.all(count > 0):
            raise ValueError("no participant has a training example; give them longer histories.")
        mean = first / count
        variance = np.maximum(second / count - mean**2, 0.0)
        std = np.sqrt(variance)
        return cls(mean, np.where(std > 1e-9, std, 1.0))

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardise the last axis; NaN stays NaN."""
        return np.clip((features - self.mean) / self.std, -CLIP, CLIP)
