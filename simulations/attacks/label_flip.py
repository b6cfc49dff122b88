"""Label flip: liars train, honestly, on the opposite of what happened."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import DataAttack

__all__ = ["LabelFlip"]


@dataclass(frozen=True, kw_only=True)
class LabelFlip(DataAttack):
    """Returns change their sign, class `y` becomes `n_classes - 1 - y`; features stay.

    Tolpegin et al. (2020), "Data poisoning attacks against federated learning systems",
    https://arxiv.org/abs/2007.08432; for classes as in Karimireddy et al. (2022).

    Parameters
    ----------
    n_classes : int or None
        None takes the largest class among the liar's own labels as the last one.
    """

    n_classes: int | None = None

    def poison(
        self, features: NDArray[np.floating], labels: NDArray[np.generic], rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], NDArray[np.generic]]:
        """See the class."""
        if np.issubdtype(labels.dtype, np.floating):
            return features.copy(), np.negative(labels)
        last = int(labels.max(initial=0)) if self.n_classes is None else self.n_classes - 1
        if labels.size and int(labels.max()) > last:
            raise ValueError(f"n_classes={self.n_classes} is too few: a label is {labels.max()}.")
        return features.copy(), np.subtract(last, labels).astype(labels.dtype)
