"""A server optimiser: a pair of functions, and a state that is a value."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

__all__ = ["OptimiserState", "ServerOptimiser"]

OptimiserState: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name, as a checkpoint keeps them; an optimiser without memory has none."""


class ServerOptimiser(NamedTuple):
    """Turns the aggregate of a round into the step that is added to the global vector.

    Attributes
    ----------
    init : callable
        From `n_params` to the state before the first round.
    apply : callable
        From an aggregate of shape (n_params,) and a state to the step, of the same shape and
        type, and the state for the next round. Neither argument is changed.
    """

    init: Callable[[int], OptimiserState]
    apply: Callable[[NDArray[Any], OptimiserState], tuple[NDArray[Any], OptimiserState]]
