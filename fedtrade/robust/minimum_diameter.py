"""Minimum-diameter averaging: the mean of the n - f rows that lie closest together."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import any_minority
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["MinimumDiameter"]

MOST_BYZANTINE = 12
"""The search takes up to 2^f steps for each of log n^2 diameters."""


@dataclass(frozen=True, slots=True)
class MinimumDiameter(GramStep):
    """The weighted mean of the n - f rows whose largest distance to each other is least.

    El Mhamdi, Guerraoui and Rouault (2018), section 3, "minimal diameter averaging",
    https://proceedings.mlr.press/v80/mhamdi18a.html. To leave out f rows so that no two are
    farther apart than d is to cover with f vertices the graph of the pairs that are: a search of
    2^f steps at most, for any n, instead of one through all subsets.
    """

    name: ClassVar[str] = "minimum_diameter"
    bound: ClassVar[str] = f"n >= 2f + 1 and f <= {MOST_BYZANTINE}"
    uses_weights: ClassVar[bool] = True

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 1.

        Raises
        ------
        ValueError
            If f is larger than can be searched.
        """
        if n_byzantine > MOST_BYZANTINE:
            raise ValueError(
                f"minimum_diameter searches up to 2^f subsets: f must be at most {MOST_BYZANTINE}, "
                f"got f={n_byzantine}; use multi_krum."
            )
        return any_minority(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """The weights of those that are kept, with sum one."""
        distances = gram.squared_distances()
        diameters = np.unique(distances)
        left_out: frozenset[int] = frozenset()
        low, high = 0, len(diameters) - 1
        while low <= high:
            middle = (low + high) // 2
            cover = _cover(distances > diameters[middle], gram.n_byzantine)
            if cover is None:
                low = middle + 1
            else:
                left_out, high = cover, middle - 1
        shares = gram.weights.copy()
        shares[list(_filled_up(left_out, distances, gram.n_byzantine))] = 0.0
        if not shares.any():
            raise ValueError("minimum_diameter: all clients that it kept have a weight of zero.")
        return gram.mixing(shares / shares.sum()), state


def _cover(edges: NDArray[np.bool_], size: int) -> frozenset[int] | None:
    """At most `size` vertices that touch all edges of a graph (n, n), if there are any."""
    degrees = edges.sum(axis=1)
    vertex = int(np.argmax(degrees))
    if degrees[vertex] == 0:
        return frozenset()
    if size == 0 or degrees.sum() > 2 * size * degrees[vertex]:
        return None
    neighbours = np.flatnonzero(edges[vertex])
    for removed in ([vertex], neighbours.tolist()):
        if len(removed) <= size:
            rest = edges.copy()
            rest[removed], rest[:, removed] = False, False
            cover = _cover(rest, size - len(removed))
            if cover is not None:
                return cover | frozenset(removed)
    return None


def _filled_up(
    left_out: frozenset[int], distances: NDArray[np.floating], size: int
) -> frozenset[int]:
    """With those farthest from the rest, so that exactly n - f rows stay."""
    kept = [k for k in range(len(distances)) if k not in left_out]
    reach = distances[np.ix_(kept, kept)].sum(axis=1)
    farthest = np.argsort(-reach, kind="stable")[: size - len(left_out)]
    return left_out | {kept[k] for k in farthest}
