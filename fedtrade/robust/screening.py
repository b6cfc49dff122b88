"""What can be told of one client from the others, before any rule sees their updates."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["capped_weights", "is_excessive", "trimmed_average", "upper_median"]

LEAST_TO_COMPARE = 3
"""Of two norms nobody can say which one is the odd one."""


def upper_median(values: NDArray[np.float64]) -> float:
    """The median, of an even number the upper one in the middle; `values` must not be empty."""
    return float(np.percentile(values, 50.0, method="higher"))


def is_excessive(norms: NDArray[np.float64], max_ratio: float) -> NDArray[np.bool_]:
    """Which norms exceed `max_ratio` times the median, shape (n_clients,).

    The median is `upper_median`, so that no half of the clients can
    have the others' refused by sending next to nothing. Nothing is excessive among fewer than
    three, or where the median is zero.

    Parameters
    ----------
    norms : float64 of shape (n_clients,)
        Finite, not negative.

    Raises
    ------
    ValueError
        If `max_ratio` is less than 1, or a norm is negative or not finite.
    """
    if not max_ratio >= 1.0:
        raise ValueError(f"max_ratio must be at least 1, got max_ratio={max_ratio}.")
    if not (np.isfinite(norms).all() and (norms >= 0.0).all()):
        raise ValueError(f"norms must be finite and not negative, got {norms}.")
    if len(norms) < LEAST_TO_COMPARE:
        return np.zeros(len(norms), dtype=bool)
    median = upper_median(norms)
    excessive: NDArray[np.bool_] = (median > 0.0) & (norms > max_ratio * median)
    return excessive


def capped_weights(n_examples: NDArray[np.float64], max_ratio: float) -> NDArray[np.float64]:
    """Numbers of examples, none of them above `max_ratio` times their median, (n_clients,).

    Of an even number the median is the lower one in the middle: of two clients, one that
    exaggerates cannot raise the bound.

    Raises
    ------
    ValueError
        If `max_ratio` is less than 1.
    """
    if not max_ratio >= 1.0:
        raise ValueError(f"max_ratio must be at least 1, got max_ratio={max_ratio}.")
    median = np.percentile(n_examples, 50.0, method="lower")
    return np.minimum(n_examples, max_ratio * median)


def trimmed_average(
    values: NDArray[np.float64], weights: NDArray[np.float64], n_extremes: int
) -> float:
    """The weighted mean without the `n_extremes` largest and as many of the smallest values.

    At least one value, or two of an even number, in the middle stay.

    Parameters
    ----------
    values : float64 of shape (n_clients,), not empty
    weights : float64 of shape (n_clients,)
        Positive.
    """
    n_dropped = min(n_extremes, (len(values) - 1) // 2)
    middle = np.argsort(values, kind="stable")[n_dropped : len(values) - n_dropped]
    kept = middle if n_dropped else slice(None)  # the order of summation shows in the last bit
    return float(np.average(values[kept], weights=weights[kept]))
