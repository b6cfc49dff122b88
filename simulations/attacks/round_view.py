"""What an adversary sees in a round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["AggregateRule", "Memory", "RoundView"]

Memory: TypeAlias = Mapping[str, NDArray[Any]]
"""What an attack remembers from round to round, by names of its own."""

AggregateRule: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From updates (n_clients, n_params) to one update (n_params,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundView:
    """What an omniscient adversary sees in a round.

    Attributes
    ----------
    honest : float32 of shape (n_honest, n_params)
        Updates of the honest participants whose replies could be read; there may be none.
    own : float32 of shape (n_attackers, n_params)
        What the liars' own data would have given.
    vector : float32 of shape (n,)
        The global vector. Updates may be longer than it, where they carry more than a change of
        the vector.
    previous : float32 of shape (n,) or None
        The last change of the global vector.
    round_number : int
        From 1.
    aggregate : callable or None
        The defence where it is known: from updates, honest rows first, to one update.
    honest_ids : tuple of int
        Who the honest rows are, the same over rounds; empty if everybody is there in each round.
    memory : mapping of str to array
        What the attack remembered in the round before.
    """

    honest: NDArray[np.float32]
    own: NDArray[np.float32]
    vector: NDArray[np.float32]
    previous: NDArray[np.float32] | None = None
    round_number: int = 1
    aggregate: AggregateRule | None = None
    honest_ids: tuple[int, ...] = ()
    memory: Memory = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.honest.ndim != 2 or self.own.ndim != 2:
            raise ValueError(
                "honest and own must have shapes (n_honest, n_params) and (n_attackers, n_params), "
                f"got {self.honest.shape} and {self.own.shape}."
            )
        if self.honest.shape[1] != self.own.shape[1]:
            raise ValueError(
                f"honest and own updates must be of one length, got {self.honest.shape[1]} and "
                f"{self.own.shape[1]}."
            )

    @property
    def n_attackers(self) -> int:
        """How many lie."""
        return len(self.own)

    @property
    def n_params(self) -> int:
        """Length of an update."""
        return int(self.own.shape[1])

    @property
    def benign(self) -> NDArray[np.float64]:
        """Honestly computed updates to learn from: the honest ones, or else the liars' own."""
        return (self.honest if len(self.honest) else self.own).astype(np.float64)

    @property
    def ids(self) -> tuple[int, ...]:
        """Who the honest rows are."""
        return self.honest_ids or tuple(range(len(self.honest)))

    def repeated(self, update: NDArray[np.floating]) -> NDArray[np.float32]:
        """One update (n_params,) sent by all liars, shape (n_attackers, n_params)."""
        return np.repeat(update[None].astype(np.float32), self.n_attackers, axis=0)
