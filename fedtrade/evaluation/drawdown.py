"""The largest loss since an earlier peak."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["max_drawdown"]


def max_drawdown(returns: ArrayLike) -> float:
    """Largest fall of the cumulated (summed, not compounded) returns of shape (n,), at least 0.

    The start counts as a peak. NaN entries are left out; NaN if nothing is left.
    """
    values = np.asarray(returns, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return float("nan")
    wealth = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.max(np.maximum.accumulate(wealth) - wealth))
