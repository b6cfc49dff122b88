"""The two kinds of steps of which rules are made.

A *Gram step* sees nothing but inner products and returns a mixing matrix; a *coordinate step* sees
the values of each coordinate and returns one. Steps that give one row are rules by themselves;
steps that give several (mixers) stand before others.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.gram import Gram

__all__ = ["CoordinateStep", "GramStep", "Kept", "Step", "StepState"]

StepState: TypeAlias = NDArray[Any] | None
"""What a Gram step remembers by itself."""


class Step(ABC):
    """What both kinds say of themselves.

    Attributes
    ----------
    name : str
        In the registry.
    bound : str
        What the rule's guarantee needs of n clients of which f lie, for messages.
    uses_weights : bool
        Whether unequal weights mean something to it.
    """

    name: ClassVar[str]
    bound: ClassVar[str]
    uses_weights: ClassVar[bool] = False

    @abstractmethod
    def least_clients(self, n_byzantine: int) -> int:
        """The smallest n that satisfies the bound; there must be two to compare."""


class GramStep(Step):
    """A pure function of the Gram matrix.

    Attributes
    ----------
    anchors : tuple of str
        Public rows that it needs.
    uses_history : bool
        Whether the matrix must be that of everything that each client sent so far.
    is_mixer : bool
        Whether it gives several rows, for another step behind it.
    """

    anchors: ClassVar[tuple[str, ...]] = ()
    uses_history: ClassVar[bool] = False
    is_mixer: ClassVar[bool] = False

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """Rows that it gives: one, unless it is a mixer."""
        return 1

    @abstractmethod
    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """The mixing matrix, shape (n_out, n_rows), and the state for the next round.

        The columns are those of the clients, then the anchors; rows need not sum to one. The state
        is None in the first round, and stays so for a step that remembers nothing.
        """


class Kept(NamedTuple):
    """What became of some coordinates, each of shape (n_params,).

    Attributes
    ----------
    values : float32
        The aggregate.
    low, high : float32
        Values from `low` to `high` had a part in it, others had none.
    """

    values: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


class CoordinateStep(Step):
    """A pure function of each coordinate's values."""

    @abstractmethod
    def __call__(self, columns: NDArray[np.float32], n_byzantine: int) -> Kept:
        """Aggregate (n_rows, n_params) to (n_params,), given transposed.

        Parameters
        ----------
        columns : float32 of shape (n_params, n_rows), contiguous
            The values of a coordinate side by side; the step may overwrite them.
        """
