"""FedAdam: the second moment is an exponential mean."""

import numpy as np
from numpy.typing import NDArray

from fedtrade.optimisers.adaptive import adaptive, check_beta2
from fedtrade.optimisers.server_optimiser import ServerOptimiser

__all__ = ["fed_adam"]


def fed_adam(
    *, learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> ServerOptimiser:
    """`v = beta2 * v + (1 - beta2) * d^2` in the family of `fedtrade.optimisers.adaptive`.

    Steps are of the order of `learning_rate` in each coordinate, however large the updates are.
    Flower's FedAdam differs: its v starts at zero, and its rate is that of Adam (Kingma and Ba
    2015) at the following round.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """
    check_beta2(beta2)

    def second_moment(
        moment: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return beta2 * moment + (1.0 - beta2) * squares

    return adaptive(second_moment, learning_rate=learning_rate, beta1=beta1, tau=tau)
