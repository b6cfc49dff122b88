"""The weighted mean: the rule of federated averaging, and no defence at all."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["weighted_mean"]


def weighted_mean(
    updates: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Mean of the rows under weights that need not sum to one.

    McMahan et al. (2017), "Communication-efficient learning of deep networks from decentralized
    data", algorithm 1, https://arxiv.org/abs/1602.05629. The sum runs in float64.

    Parameters
    ----------
    updates : float32 of shape (n_clients, n_params)
    weights : float64 of shape (n_clients,)

    Returns
    -------
    float32 of shape (n_params,)

    Raises
    ------
    ValueError
        If there is no row, or the weights are negative, not finite, or all zero.
    """
    if updates.ndim != 2 or weights.shape != updates.shape[:1] or not len(weights):
        raise ValueError(
            "updates must have shape (n_clients, n_params) and weights (n_clients,), n_clients > 0;"
            f" got {updates.shape} and {weights.shape}."
        )
    total = weights.sum()
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and total > 0.0):
        raise ValueError(f"weights must be finite, not negative and not all zero, got {weights}.")
    mean: NDArray[np.float32] = ((weights / total) @ updates.astype(np.float64)).astype(np.float32)
    return mean
