"""Standardise features by moments of the training bars, summed over all participants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Standardiser", "moment_sum"]

CLIP = 5.0


def moment_sum(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count, sum and sum of squares by feature, shape (3, n_features).

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Finite; n may be 0.
    """
    count = np.full(features.shape[1], float(len(features)))
    return np.stack([count, features.sum(axis=0), np.square(features).sum(axis=0)])


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
