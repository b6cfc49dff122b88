"""A log-linear variance model by ridge regression, brought back to variances by smearing.

The variance is a base times `exp(a + w.x)`. The weights w are a ridge regression of the
logarithm of the ratio of realised to base variance. The logarithm of a squared return is 1.27
below that of its mean, and a log-normal correction would be wrong by a factor of 3 (its error is
that of a log chi-square), so the level a is taken from the mean of the ratios themselves: the
smearing estimate of Duan (1983, "Smearing estimate: a nonparametric retransformation method",
Journal of the American Statistical Association 78(383)). For given w it is the level of the least
QLIKE. Both steps need sums over examples only. An infinite penalty leaves the base as it is.
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.models.ridge import RidgeSums, ridge_weights

__all__ = ["fit_variance_ridge", "smearing_sum", "variance_ridge_sums", "variance_ridge_vector"]

FloatArray = NDArray[np.float64]

LEAST_RATIO = 0.01
"""Ratios below are raised to it: the logarithm of a nearly unmoved price is noise."""


def variance_ridge_sums(features: FloatArray, ratios: FloatArray, n_bars: int) -> RidgeSums:
    """Sums from which the weights follow.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised.
    ratios : ndarray of shape (n, n_outputs)
        Realised over base variance, not negative.
    n_bars : int
        Different bars at which the examples' labels end.
    """
    return RidgeSums.of(features, np.log(np.maximum(ratios, LEAST_RATIO)), n_bars)


def smearing_sum(weights: FloatArray, features: FloatArray, ratios: FloatArray) -> FloatArray:
    """The number of examples, then by output the sum of `ratio / exp(w.x)`.

    Shape (1 + n_outputs,); `weights` is (n_outputs, n_features), others as above.
    """
    return np.append(float(len(ratios)), (ratios * np.exp(-features @ weights.T)).sum(axis=0))


def variance_ridge_vector(
    weights: FloatArray, smearing: FloatArray, penalty: float
) -> NDArray[np.float32]:
    """Levels and weights as the parameters of `Linear`, shape (n_outputs * (1 + n_features),).

    The level is drawn to zero by the factor `1 / (1 + penalty)`, as a ridge does with the weight
    of a feature of variance 1: the mean ratio of a few months is noise too.
    """
    levels = np.log(smearing[1:] / smearing[0]) / (1.0 + penalty)
    return np.concatenate([levels, weights.reshape(-1)]).astype(np.float32)


def fit_variance_ridge(
    features: FloatArray, ratios: FloatArray, *, n_bars: int, penalty: float
) -> NDArray[np.float32]:
    """The vector from examples in one place; the arguments are those of the functions above."""
    weights = ridge_weights(variance_ridge_sums(features, ratios, n_bars), penalty)
    return variance_ridge_vector(weights, smearing_sum(weights, features, ratios), penalty)
