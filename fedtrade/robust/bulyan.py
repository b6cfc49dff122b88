"""Bulyan's first step: Krum again and again, each time without those already chosen."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import at_least_two
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["BulyanSelection"]

DROWNED = 1e-6
"""Less than this share of what was subtracted says little in double precision."""


@dataclass(frozen=True, slots=True)
class BulyanSelection(GramStep):
    """The n - 2f rows that Krum chooses one after the other among those that are left.

    El Mhamdi, Guerraoui and Rouault (2018), "The hidden vulnerability of distributed learning in
    Byzantium", section 4, https://proceedings.mlr.press/v80/mhamdi18a.html. Scores are taken anew
    among the r rows that are left, with r - f - 2 neighbours, at least one: the last choices are
    made among fewer rows than Krum's own bound asks for.
    """

    name: ClassVar[str] = "bulyan_selection"
    bound: ClassVar[str] = "n >= 4f + 3"
    is_mixer: ClassVar[bool] = True

    def least_clients(self, n_byzantine: int) -> int:
        """4f + 3."""
        return at_least_two(4 * n_byzantine + 3)

    def n_out(self, n_clients: int, n_byzantine: int) -> int:
        """What is chosen: n - 2f."""
        return n_clients - 2 * n_byzantine

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """A one in each row."""
        n_chosen = self.n_out(gram.n_clients, gram.n_byzantine)
        chosen = _iterated_krum(gram.squared_distances(), gram.n_byzantine, n_chosen)
        selection = np.zeros((n_chosen, gram.n_clients), dtype=np.float32)
        selection[np.arange(n_chosen), chosen] = 1.0
        return gram.mixing(selection), state


def _iterated_krum(squared: NDArray[np.floating], n_byzantine: int, n_chosen: int) -> list[int]:
    """Choose by Krum without replacement, in O(n^2 log n) for all choices together.

    The neighbours of a row only ever become fewer. When a row leaves, those who count it among
    their neighbours lose it, the others lose their farthest. A score is added up anew only where
    what it loses drowns what is left, as with the distance to an absurd row.
    """
    n = len(squared)
    distances: NDArray[np.float64] = squared.astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")
    n_near = n - n_byzantine - 2
    is_near = np.zeros((n, n), dtype=bool)
    np.put_along_axis(is_near, order[:, :n_near], True, axis=1)
    farthest = np.full(n, n_near - 1)
    scores = np.where(is_near, distances, 0.0).sum(axis=1)
    left = np.ones(n, dtype=bool)
    chosen: list[int] = []
    for _ in range(n_chosen):
        if n_near >= 1:
            among = np.flatnonzero(left)
            best = int(among[np.argmin(scores[among])])
        else:
            best = _closest_to_another(distances, left)
        chosen.append(best)
        left[best] = False
        n_near -= 1
        if n_near >= 1:
            lost = np.where(is_near[:, best], best, order[np.arange(n), farthest])
            less = distances[np.arange(n), lost]
            is_near[np.arange(n), lost] = False
            with np.errstate(invalid="ignore"):  # infinite distances
                scores -= less
                drowned = ~(scores >= DROWNED * less)
            scores[drowned] = np.where(is_near[drowned], distances[drowned], 0.0).sum(axis=1)
            _move_to_near(farthest, order, is_near)
    return chosen


def _move_to_near(
    farthest: NDArray[np.intp], order: NDArray[np.intp], is_near: NDArray[np.bool_]
) -> None:
    """Let each row's pointer fall to its farthest neighbour that is left."""
    rows = np.arange(len(farthest))
    while len(rows):
        rows = rows[~is_near[rows, order[rows, farthest[rows]]]]
        farthest[rows] -= 1


def _closest_to_another(distances: NDArray[np.float64], left: NDArray[np.bool_]) -> int:
    among = np.flatnonzero(left)
    return int(among[np.argmin(distances[np.ix_(among, among)].min(axis=1))])
