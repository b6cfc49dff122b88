"""What a naive tail forecast takes and gives, and the checks that all of them share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall

FloatArray = NDArray[np.float64]

WARM_UP_BARS = 20
"""Returns of its own history that a participant spends on starting an EWMA recursion."""


class TailForecast(NamedTuple):
    """One-bar-ahead value at risk and expected shortfall, as returns (negative numbers).

    Both have shape `(n_bars, n_levels)`; `var` is the quantile of the next return at each level
    and `es <= var` the mean of the returns below it.
    """

    var: FloatArray
    es: FloatArray


class TailForecaster(Protocol):
    """A naive model of one asset's tail.

    Called with `returns` (n,), simple returns whose leading values may be NaN, `n_train`, the
    number of bars that belong to the training period, and `levels` (n_levels,), it gives a
    `TailForecast` of shape `(n - n_train, n_levels)`. Row i forecasts bar `n_train + i` from
    returns up to bar `n_train + i - 1`; parameters come from `returns[:n_train]` alone. Hence
    the last return is never used: append NaN to a history to forecast its next bar. A return
    missing from a test bar makes the forecasts of all later bars NaN.
    """

    def __call__(
        self, returns: ArrayLike, n_train: int, levels: Sequence[float] | FloatArray, /
    ) -> TailForecast: ...


def checked_history(returns: ArrayLike, n_train: int, n_required: int) -> FloatArray:
    """Return `returns` as a float array after checking its training period.

    Raises
    ------
    ValueError
        If `returns` is not one-dimensional or holds an infinite value, `n_train` lies outside
        of it, or the training period has a gap or fewer than `n_required` returns.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"returns must be one asset's, of shape (n,); got shape {values.shape}.")
    if np.isinf(values).any():
        raise ValueError(f"returns[{int(np.isinf(values).argmax())}] is infinite; check the price.")
    if not 0 < n_train <= values.size:
        raise ValueError(f"n_train must be in [1, {values.size}], got {n_train}.")
    known = np.isfinite(values[:n_train])
    n_known = int(known.sum())
    if n_known < n_required:
        raise ValueError(
            f"{n_known} returns in the training period, {n_required} are needed; "
            "give the participant a longer history."
        )
    first = int(known.argmax())
    if not known[first:].all():
        gap = first + int((~known[first:]).argmax())
        raise ValueError(f"returns[{gap}] is missing inside the training period; fill the price.")
    return values


def checked_levels(levels: Sequence[float] | FloatArray) -> FloatArray:
    """Return `levels` as a float array of shape (n_levels,), each of them in (0, 0.5)."""
    values = np.asarray(levels, dtype=np.float64)
    if values.ndim != 1 or not np.all((values > 0.0) & (values < 0.5)):
        raise ValueError(f"levels must be a list of tail probabilities in (0, 0.5), got {levels}.")
    return values


def student_t_tail(
    variance: FloatArray, n_train: int, levels: FloatArray, dof: float
) -> TailForecast:
    """Turn the variance known after each bar into a Student-t tail for the test bars.

    Parameters
    ----------
    variance : ndarray of shape (n,)
        Entry t is the forecast variance of bar t+1.
    """
    volatility = np.sqrt(variance[n_train - 1 : -1, None])
    return TailForecast(
        var=volatility * student_t_quantile(levels, dof),
        es=volatility * student_t_shortfall(levels, dof),
    )
