"""What FedAdam and FedYogi share: momentum over the root of a second moment.

Reddi et al. (2021), "Adaptive federated optimization", algorithm 2,
https://arxiv.org/abs/2003.00295. With the aggregate d,

    m = beta1 * m + (1 - beta1) * d
    v = second_moment(v, d^2)
    step = learning_rate * m / (sqrt(v) + tau)

m starts at zero and v at tau^2, the least that the paper allows. As in the paper nothing corrects
the start's bias.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.optimisers.server_optimiser import OptimiserState, ServerOptimiser

__all__ = ["adaptive", "check_beta2"]

MEAN = "mean"
SQUARE = "square"

SecondMoment = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def adaptive(
    second_moment: SecondMoment, *, learning_rate: float, beta1: float, tau: float
) -> ServerOptimiser:
    """An optimiser of the family; the state is float64.

    Parameters
    ----------
    second_moment : callable
        From v and the squares of the aggregate to the next v, all of shape (n_params,).

    Raises
    ------
    ValueError
        If `learning_rate` or `tau` is not positive or `beta1` not in [0, 1).
    """
    if not learning_rate > 0.0:
        raise ValueError(f"learning_rate must be positive, got learning_rate={learning_rate}.")
    if not 0.0 <= beta1 < 1.0:
        raise ValueError(f"beta1 must be in [0, 1), got beta1={beta1}.")
    if not tau > 0.0:
        raise ValueError(f"tau must be positive, got tau={tau}.")

    def init(n_params: int) -> OptimiserState:
        return {MEAN: np.zeros(n_params), SQUARE: np.full(n_params, tau**2)}

    def apply(
        aggregate: NDArray[Any], state: OptimiserState
    ) -> tuple[NDArray[Any], OptimiserState]:
        change = aggregate.astype(np.float64)
        mean = beta1 * state[MEAN] + (1.0 - beta1) * change
        square = second_moment(state[SQUARE], np.square(change))
        step = learning_rate * mean / (np.sqrt(square) + tau)
        return step.astype(aggregate.dtype), {MEAN: mean, SQUARE: square}

    return ServerOptimiser(init, apply)


def check_beta2(beta2: float) -> None:
    """Raise a ValueError unless `beta2` is in [0, 1)."""
    if not 0.0 <= beta2 < 1.0:
        raise ValueError(f"beta2 must be in [0, 1), got beta2={beta2}.")
