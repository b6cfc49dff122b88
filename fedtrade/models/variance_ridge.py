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

from fedtrade.models.ridge import ridge_products, ridge_weights

__all__ = ["fit_variance_ridge", "log_ratios", "smearing_sum", "variance_ridge_vector"]

FloatArray = NDArray[np.float64]

LEAST_RATIO = 0.01
"""Ratios below are raised to it: the logarithm of a nearly unmoved price is noise."""


def log_ratios(ratios: FloatArray) -> FloatArray:
    """What is regressed: the logarithm of realised over base variance, at least `log(0.01)`."""
    logs: FloatArray = np.log(np.maximum(ratios, LEAST_RATIO))
    return logs


def smearing_sum(weights: FloatArray, features: FloatArray, ratios: FloatArray) -> FloatArray:
    """The number of examples, then by output the sum of `ratio / exp(w.x)`.

    Shape (1 + n_outputs,).

    Parameters
    ----------
    weights : ndarray of shape (n_outputs, n_features)
    features : ndarray of shape (n, n_features)
        Standardised.
    ratios : ndarray of shape (n, n_outputs)
        Realised over base variance, not negative.
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
    features: FloatArray, ratios: FloatArray, penalty: float
) -> NDArray[np.float32]:
    """The vector from examples in one place; arguments as in `smearing_sum`."""
    weights = ridge_weights(ridge_products(features, log_ratios(ratios)), penalty)
    return variance_ridge_vector(weights, smearing_sum(weights, features, ratios), penalty)
