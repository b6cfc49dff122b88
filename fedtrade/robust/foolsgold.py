"""FoolsGold: those who keep sending the same as another count for less."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.bounds import at_least_two
from fedtrade.robust.gram import Gram
from fedtrade.robust.options import check_positive
from fedtrade.robust.step import GramStep, StepState

__all__ = ["FoolsGold"]

SAME = 1e-6
"""Cosines of single precision that differ from one by less are those of clones."""


@dataclass(frozen=True, slots=True)
class FoolsGold(GramStep):
    """A mean that takes weight from clients whose accumulated updates are alike.

    Fung, Yoon and Beschastnikh (2020), "The limitations of federated learning in sybil settings",
    algorithm 1, https://www.usenix.org/conference/raid2020/presentation/fung, with the cosines
    taken over all parameters. It rests on honest clients being less alike than clones, and bears
    any number of clones; a lone liar it does not see. Where all are alike nothing moves: all
    coefficients are zero.

    Attributes
    ----------
    confidence : float
        Steepness of the logit, positive.
    """

    name: ClassVar[str] = "foolsgold"
    bound: ClassVar[str] = "n > f"
    uses_history: ClassVar[bool] = True

    confidence: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.name, "confidence", self.confidence)

    def least_clients(self, n_byzantine: int) -> int:
        """One more than lie."""
        return at_least_two(n_byzantine + 1)

    def __call__(
        self, gram: Gram, state: StepState, rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], StepState]:
        """Learning rates with sum one."""
        products = gram.about_origin()[: gram.n_clients, : gram.n_clients]
        norms = np.sqrt(np.maximum(products.diagonal(), 0.0))
        scale = np.where(norms > 0.0, norms, 1.0)
        rates = _learning_rates(products / scale / scale[:, None], self.confidence)
        total = rates.sum()
        return gram.mixing(rates / total if total > 0.0 else rates), state


def _learning_rates(cosines: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Algorithm 1 from the similarities (n, n) on; from 0 to 1, shape (n,)."""
    cosines = cosines.copy()
    np.fill_diagonal(cosines, -1.0)
    most = np.maximum(cosines.max(axis=1), 0.0)
    # Pardoning: an honest client that resembles a more suspicious one. Who is like nobody is like
    # nobody: with a negative maximum the paper's ratio would turn opposites into likenesses.
    ratio = most[:, None] / np.where(most > 0.0, most, 1.0)
    cosines = np.where(most > most[:, None], cosines * ratio, cosines)
    np.fill_diagonal(cosines, -1.0)
    rates: NDArray[np.float64] = np.clip(1.0 - cosines.max(axis=1), 0.0, 1.0)
    rates[rates < SAME] = 0.0
    if not rates.any():
        return rates
    rates = np.minimum(rates / rates.max(), 0.99)
    with np.errstate(divide="ignore"):
        logits: NDArray[np.float64] = confidence * np.log(rates / (1.0 - rates)) + 0.5
    return np.clip(logits, 0.0, 1.0)
