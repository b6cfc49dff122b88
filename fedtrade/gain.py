"""How much better one arm's headline score is than another's over the same bars."""

import numpy as np
from numpy.typing import NDArray

from fedtrade.evaluation import relative_gain
from fedtrade.tasks.task import Headline

__all__ = ["headline_gain"]


def headline_gain(
    headline: Headline, ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> float:
    """Positive where `ours` is better: relative, or as a difference, as the headline wants it.

    Parameters
    ----------
    ours, theirs : float64 of shape (n_bars,)
        A bar missing from either is left out of both; NaN if none is left.
    """
    if headline.relative:
        return float(relative_gain(ours, theirs))
    sign = -1.0 if headline.lower_is_better else 1.0
    difference = sign * (ours - theirs)
    known = np.isfinite(difference)
    return float(difference[known].mean()) if known.any() else float("nan")
