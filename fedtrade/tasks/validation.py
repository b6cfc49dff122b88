"""Choose how strongly to regularise on the last bars of a training period."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ValidationSplit", "strongest_within_one_error", "validation_split"]

VALIDATION_SHARE = 0.3


class ValidationSplit(NamedTuple):
    """Which examples to fit and which to validate on, masks of shape (n_examples,)."""

    early: NDArray[np.bool_]
    late: NDArray[np.bool_]


def validation_split(label_bars: NDArray[np.intp], horizon_bars: int) -> ValidationSplit:
    """Hold out the last 30 % of the bars; labels that overlap them belong to neither side.

    Parameters
    ----------
    label_bars : int of shape (n_examples,)
        The bar at which each label ends; at least one.
    horizon_bars : int
        Bars that a label spans.
    """
    bars = np.unique(label_bars)
    first = bars[int(len(bars) * (1.0 - VALIDATION_SHARE))]
    return ValidationSplit(label_bars <= first - horizon_bars, label_bars >= first)


def strongest_within_one_error(
    losses: NDArray[np.floating], label_bars: NDArray[np.intp], horizon_bars: int
) -> int:
    """The last candidate whose loss lies within one standard error of the best.

    Hastie, Tibshirani and Friedman (2009), "The Elements of Statistical Learning", section 7.10;
    the error is that of the paired difference over bars, of which only every `horizon_bars`-th is
    new where labels overlap. With few bars the plain minimum mostly picks noise.

    Parameters
    ----------
    losses : ndarray of shape (n_candidates, n_examples)
        Candidates from the weakest to the strongest regularisation.
    label_bars : int of shape (n_examples,)
    horizon_bars : int
        Bars that a label spans.
    """
    _, bar = np.unique(label_bars, return_inverse=True)
    by_bar = np.stack([np.bincount(bar, row) / np.bincount(bar) for row in losses])
    excess = by_bar - by_bar[int(by_bar.mean(axis=1).argmin())]
    n_bars = by_bar.shape[1]
    n_new = n_bars / horizon_bars
    error = excess.std(axis=1, ddof=1) / np.sqrt(n_new) if n_bars > 1 else np.inf
    return int(np.flatnonzero(excess.mean(axis=1) <= error)[-1])
