"""FedAvg: the aggregate itself, times a learning rate."""

from typing import Any

from numpy.typing import NDArray

from fedtrade.optimisers.server_optimiser import OptimiserState, ServerOptimiser

__all__ = ["fed_avg"]


def fed_avg(*, learning_rate: float = 1.0) -> ServerOptimiser:
    """The step is the aggregate times `learning_rate`.

    With a rate of 1 and the mean as the rule this is McMahan et al. (2017), algorithm 1,
    https://arxiv.org/abs/1602.05629.

    Raises
    ------
    ValueError
        If `learning_rate` is not positive.
    """
    if not learning_rate > 0.0:
        raise ValueError(f"learning_rate must be positive, got learning_rate={learning_rate}.")

    def apply(
        aggregate: NDArray[Any], state: OptimiserState
    ) -> tuple[NDArray[Any], OptimiserState]:
        return aggregate.dtype.type(learning_rate) * aggregate, state

    return ServerOptimiser(lambda n_params: {}, apply)
