"""FLTrust: trust grows with the likeness to an update that the server computed itself."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import at_least_two
from fedtrade.robust.gram import Gram
from fedtrade.robust.step import GramStep, StepState

__all__ = ["ROOT", "FLTrust"]

ROOT = "root"
"""The anchor that is the update from the server's own, clean data."""


@dataclass(frozen=True, slots=True)
class FLTrust(GramStep):
    """Rows scaled to the root's norm, averaged under the positive part of their cosine with it.

    Cao et al. (2021), "FLTrust: Byzantine-robust federated learning via trust bootstrapping",
    algorithm 2, https://arxiv.org/abs/2012.13995. The guarantee rests on the root's data being
    like the clients'; it bears any number of liars below n. Where nobody is trusted, or the root
    is zero, nothing moves: all coefficients are zero.
    """

    name: ClassVar[str] = "fltrust"
    bound: ClassVar[str] = "n > f"
    anchors: ClassVar[tuple[str, ...]] = (ROOT,)

    def least_clients(self, n_byzantine: int) -> int:
        """One more than lie."""
        return at_least_two(n_byzantine + 1)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Trust times the ratio of norms, over all trust."""
        root = gram.row_of(ROOT)
        products = gram.about_origin()
        norms = np.sqrt(np.maximum(products.diagonal(), 0.0))
        lengths = norms[: gram.n_clients]
        known = (lengths > 0.0) & (norms[root] > 0.0)
        safe = np.where(known, lengths, 1.0)
        cosines = products[: gram.n_clients, root] / (safe * max(norms[root], 1e-300))
        trust = np.where(known, np.maximum(cosines, 0.0), 0.0)
        if trust.any():
            trust *= norms[root] / safe / trust.sum()
        return gram.mixing(trust), state
