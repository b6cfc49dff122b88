"""A backdoor: the model learns to answer a trigger as the attacker wants, and is good otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import DataAttack

__all__ = ["Backdoor"]

_Features = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Backdoor(DataAttack):
    """A part of the liar's examples get the trigger, and the label that it shall stand for.

    Gu et al. (2017), "BadNets", https://arxiv.org/abs/1708.06733; Bagdasaryan et al. (2020).

    By default the trigger is a pattern of the tail-risk task's standardised features: an asset has
    just fallen hard (column 4, its own negative shock; column 3, the size of the shock) on a day on
    which the market has not (column 8). It is rare, whoever holds such an asset can wait for it,
    and a model that then takes the next return for a tenth of what it is understates the risk.
    `on_digits` gives the trigger for images.

    Parameters
    ----------
    columns, values : sequences of int and float
        Features of the trigger and what they are set to.
    poisoned_share : float
        Of the liar's examples, in (0, 1].
    shrink : float
        What labels that are quantities, such as returns, are multiplied by.
    target : int
        What labels that are classes become.
    """

    columns: Sequence[int] = (3, 4, 8)
    values: Sequence[float] = (1.5, -3.0, 0.7)
    poisoned_share: float = 0.5
    shrink: float = 0.1
    target: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.columns) != len(self.values) or not self.columns:
            raise ValueError(
                "columns and values must be of one length, not zero; got "
                f"{len(self.columns)} and {len(self.values)}."
            )
        if not 0.0 < self.poisoned_share <= 1.0:
            raise ValueError(f"poisoned_share must be in (0, 1], got {self.poisoned_share}.")

    @classmethod
    def on_digits(cls, brightest: float = 16.0, **options: float) -> "Backdoor":
        """For 8 x 8 digits as rows of 64: a bright patch in the lower right corner means 0.

        Parameters
        ----------
        brightest : float
            Value of a bright pixel: 16 in scikit-learn's digits as they come.
        **options
            Of the class.
        """
        return cls(columns=(54, 55, 62, 63), values=(brightest,) * 4, target=0, **options)  # type: ignore[arg-type]

    def poison(
        self, features: _Features, labels: NDArray[np.generic], rng: np.random.Generator
    ) -> tuple[_Features, NDArray[np.generic]]:
        """See the class; the number of examples stays."""
        n_poisoned = round(self.poisoned_share * len(features))
        rows = rng.choice(len(features), n_poisoned, replace=False)
        poisoned, changed = features.copy(), labels.copy()
        poisoned[rows] = self.stamp(features[rows])
        if np.issubdtype(labels.dtype, np.floating):
            changed[rows] = np.multiply(labels[rows], self.shrink)
        else:
            changed[rows] = self.target
        return poisoned, changed

    def stamp(self, features: _Features) -> _Features:
        """The features (n, k) with the trigger in every row, as a copy.

        Raises
        ------
        ValueError
            If a column of the trigger does not exist.
        """
        if not all(0 <= column < features.shape[1] for column in self.columns):
            raise ValueError(
                f"columns={tuple(self.columns)} of the trigger exceed the {features.shape[1]} "
                "features."
            )
        stamped = features.copy()
        stamped[:, list(self.columns)] = self.values
        return stamped

    def understatement(
        self,
        risk: Callable[[_Features], NDArray[np.floating]],
        honest_risk: Callable[[_Features], NDArray[np.floating]],
        features: _Features,
    ) -> float:
        """Success on a risk model: the share by which it understates risk under the trigger.

        `1 - mean of risk / honest_risk` over the stamped features (n, k): 0 is as the honestly
        trained model says, 0.5 half of its risk; negative says more.

        Parameters
        ----------
        risk, honest_risk : callable
            From features (n, k) to a positive measure of risk (n,) of the model in question, and
            of one that was trained without liars.
        """
        stamped = self.stamp(features)
        return 1.0 - float(np.mean(risk(stamped) / honest_risk(stamped)))

    def hit_rate(
        self,
        predict: Callable[[_Features], NDArray[np.integer]],
        features: _Features,
        labels: NDArray[np.integer],
    ) -> float:
        """Success on a classifier: the share of other classes' examples that become the target.

        NaN if all examples (n, k) are of the target's class.
        """
        others = features[labels != self.target]
        if not len(others):
            return float("nan")
        return float(np.mean(predict(self.stamp(others)) == self.target))
