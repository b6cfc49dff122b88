"""Ridge regression from sums over examples: the same model as if all data lay in one place.

The coefficients depend on the data through `X'X`, `X'y` and the number of examples alone, and
those add over participants: one federated sum replaces all rounds of training. Averaging the
coefficients that each participant fitted alone is something else, and gives another model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RidgeSums", "ridge_products", "ridge_weights"]

FloatArray = NDArray[np.float64]


def ridge_products(features: FloatArray, targets: FloatArray) -> FloatArray:
    """`[1, X]' [1, X, Y]` of shape (1 + n_features, 1 + n_features + n_outputs).

    The first entry counts the examples.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Finite; n may be 0.
    targets : ndarray of shape (n, n_outputs)
    """
    left = np.column_stack([np.ones(len(features)), features])
    products: FloatArray = left.T @ np.column_stack([left, targets])
    return products


@dataclass(frozen=True, slots=True, eq=False)
class RidgeSums:
    """What participants add up for a ridge: the products, and how long their histories are.

    Attributes
    ----------
    products : float64 of shape (1 + n_features, 1 + n_features + n_outputs)
        See `ridge_products`.
    example_bars : float
        Examples times the bars that they are spread over, added over participants.
    """

    products: FloatArray
    example_bars: float

    @classmethod
    def of(cls, features: FloatArray, targets: FloatArray, n_bars: int) -> "RidgeSums":
        """Sums of one participant whose examples' labels end at `n_bars` different bars."""
        return cls(ridge_products(features, targets), float(len(features) * n_bars))

    @classmethod
    def from_array(cls, array: FloatArray, n_features: int) -> "RidgeSums":
        """Read back `to_array`, or a sum of such arrays.

        Raises
        ------
        ValueError
            If the length does not fit to the number of features.
        """
        rows = 1 + n_features
        columns, rest = divmod(array.size - 1, rows)
        if array.ndim != 1 or rest or columns <= rows:
            raise ValueError(
                f"sums of a ridge with {n_features} features have a length of "
                f"{rows} * ({rows} + n_outputs) + 1, got shape {array.shape}."
            )
        return cls(array[:-1].reshape(rows, columns), float(array[-1]))

    def to_array(self) -> FloatArray:
        """All numbers in one array that adds over participants."""
        return np.append(self.products.reshape(-1), self.example_bars)

    @property
    def n_examples(self) -> float:
        """How many examples were added up."""
        return float(self.products[0, 0])

    @property
    def n_bars(self) -> int:
        """Bars of history behind the average example, at least 1.

        Examples of one bar move together, so this and not their number says how much is known.
        """
        return max(round(self.example_bars / self.n_examples), 1) if self.n_examples else 1


def ridge_weights(products: FloatArray, penalty: float) -> FloatArray:
    """Minimise `mean |y - a - Wx|^2 / 2 + penalty / 2 * |W|^2` over a and W.

    Parameters
    ----------
    products : ndarray of shape (1 + n_features, 1 + n_features + n_outputs)
        `ridge_products` of all examples, or its sum over participants. With noise on the sum it may
        be that of no examples: the nearest covariance that there can be is taken in place of its.
    penalty : float
        Positive, in units of a feature's variance; `inf` gives zeros.

    Returns
    -------
    ndarray of shape (n_outputs, n_features)
        W. The intercept is free, hence features and targets count as deviations from their means.

    Raises
    ------
    ValueError
        If there is no example or the penalty is not positive.
    """
    if not products[0, 0] > 0.0:
        raise ValueError("no participant has a training example; give them longer histories.")
    if not penalty > 0.0:
        raise ValueError(f"penalty must be positive, got {penalty}.")
    mean = products / products[0, 0]
    covariance = mean[1:, 1:] - np.outer(mean[1:, 0], mean[0, 1:])
    n_features = len(covariance)
    if np.isinf(penalty):
        return np.zeros((covariance.shape[1] - n_features, n_features))
    system = _nearest_covariance(covariance[:, :n_features]) + penalty * np.eye(n_features)
    weights: FloatArray = np.linalg.solve(system, covariance[:, n_features:]).T
    return weights


def _nearest_covariance(found: FloatArray) -> FloatArray:
    """Symmetric and without negative eigenvalues: the nearest such matrix (Higham 1988)."""
    symmetric = (found + found.T) / 2.0
    values, vectors = np.linalg.eigh(symmetric)
    if not len(values) or values[0] >= 0.0:
        return np.asarray(symmetric)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
