"""Krum: the client that is closest to its neighbours, and what its relatives share with it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import at_least_two
from fedtrade.robust.gram import Gram
from fedtrade.robust.parallel import each_part
from fedtrade.robust.step import GramStep, StepState

__all__ = ["Krum", "krum_bound", "krum_scores"]

BLOCK_ELEMENTS = 1 << 20


def krum_bound(n_byzantine: int) -> int:
    """The bound n >= 2f + 3."""
    return at_least_two(2 * n_byzantine + 3)


def krum_scores(gram: Gram) -> NDArray[np.float64]:
    """Each client's sum of squared distances to its n - f - 2 nearest others, shape (n_clients,).

    Blanchard et al. (2017), section 4: n - f - 2 neighbours, without itself. (ByzFL takes
    n - f - 1.)
    """
    n = gram.n_clients
    n_near = n - gram.n_byzantine - 2
    scores = np.empty(n)
    height = max(1, BLOCK_ELEMENTS // n)

    def work(part: slice) -> None:
        for start in range(part.start, part.stop, height):
            clients = slice(start, min(start + height, part.stop))
            distances = gram.squared_distances(clients)
            own = np.arange(clients.start, clients.stop)
            distances[own - start, own] = np.inf
            distances.partition(n_near - 1, axis=1)
            scores[clients] = distances[:, :n_near].sum(axis=1, dtype=np.float64)

    _ = gram.products  # computed before the threads ask for it
    each_part(n, n * n, work)
    return scores


@dataclass(frozen=True, slots=True)
class Krum(GramStep):
    """The row whose n - f - 2 nearest rows are closest to it.

    Blanchard et al. (2017), "Machine learning with adversaries: Byzantine tolerant gradient
    descent", https://papers.nips.cc/paper/6617. Of equal scores the first row's counts.
    """

    name: ClassVar[str] = "krum"
    bound: ClassVar[str] = "n >= 2f + 3"

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 3."""
        return krum_bound(n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """One for the chosen row."""
        chosen = np.zeros(gram.n_clients)
        chosen[np.argmin(krum_scores(gram))] = 1.0
        return gram.mixing(chosen), state
