"""FedYogi: the second moment moves by a bounded amount, so that it forgets slowly."""

import numpy as np
from numpy.typing import NDArray

from fedtrade.optimisers.adaptive import adaptive, check_beta2
from fedtrade.optimisers.server_optimiser import ServerOptimiser

__all__ = ["fed_yogi"]


def fed_yogi(
    *, learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> ServerOptimiser:
    """`v = v - (1 - beta2) * d^2 * sign(v - d^2)` in the family of `fedtrade.optimisers.adaptive`.

    Flower's FedYogi differs in one thing: its v starts at zero.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """
    check_beta2(beta2)

    def second_moment(
        moment: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return moment - (1.0 - beta2) * squares * np.sign(moment - squares)

    return adaptive(second_moment, learning_rate=learning_rate, beta1=beta1, tau=tau)
