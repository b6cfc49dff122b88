"""FedAvgM: averaging with momentum on the server."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.optimisers.server_optimiser import OptimiserState, ServerOptimiser

__all__ = ["fed_avg_m"]

VELOCITY = "velocity"


def fed_avg_m(*, learning_rate: float = 1.0, momentum: float = 0.9) -> ServerOptimiser:
    """With the aggregate d: `m = momentum * m + d`, and the step is `learning_rate * m`.

    Hsu, Qi and Brown (2019), "Measuring the effects of non-identical data distribution for
    federated visual classification", section 4.3, https://arxiv.org/abs/1909.06335. A lasting d is
    followed `1 / (1 - momentum)` times as fast as by averaging. The state is float64.

    Raises
    ------
    ValueError
        If `learning_rate` is not positive or `momentum` not in [0, 1).
    """
    if not learning_rate > 0.0:
        raise ValueError(f"learning_rate must be positive, got learning_rate={learning_rate}.")
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"momentum must be in [0, 1), got momentum={momentum}.")

    def init(n_params: int) -> OptimiserState:
        return {VELOCITY: np.zeros(n_params)}

    def apply(
        aggregate: NDArray[Any], state: OptimiserState
    ) -> tuple[NDArray[Any], OptimiserState]:
        velocity = momentum * state[VELOCITY] + aggregate
        return (learning_rate * velocity).astype(aggregate.dtype), {VELOCITY: velocity}

    return ServerOptimiser(init, apply)
