"""Multi-Krum: the mean of the clients with the best Krum scores."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.gram import Gram
from fedtrade.robust.krum import krum_bound, krum_scores
from fedtrade.robust.options import check_whole
from fedtrade.robust.step import GramStep, StepState

__all__ = ["MultiKrum"]


@dataclass(frozen=True, slots=True)
class MultiKrum(GramStep):
    """The weighted mean of the rows with the smallest Krum scores.

    Blanchard et al. (2017), section 4, https://papers.nips.cc/paper/6617.

    Attributes
    ----------
    n_selected : int or None
        Rows that count, from 1 to n - f; n - f if None.
    """

    name: ClassVar[str] = "multi_krum"
    bound: ClassVar[str] = "n >= 2f + 3"
    uses_weights: ClassVar[bool] = True

    n_selected: int | None = None

    def __post_init__(self) -> None:
        if self.n_selected is not None:
            check_whole(self.name, "n_selected", self.n_selected)

    def least_clients(self, n_byzantine: int) -> int:
        """2f + 3, and enough for all that are to be selected."""
        return max(krum_bound(n_byzantine), (self.n_selected or 0) + n_byzantine)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """The weights of those that are selected, with sum one."""
        n_selected = self.n_selected or gram.n_clients - gram.n_byzantine
        best = np.argsort(krum_scores(gram), kind="stable")[:n_selected]
        shares = np.zeros(gram.n_clients)
        shares[best] = gram.weights[best]
        if not shares.any():
            raise ValueError("multi_krum: all clients that it selected have a weight of zero.")
        return gram.mixing(shares / shares.sum()), state
