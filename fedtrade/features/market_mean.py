"""The market of the federation: each bar's mean over everybody's assets, from federated sums.

A participant holds too few assets for a cross-section of its own. It adds, for every bar of the
federation's calendar, sums over its assets and how many they are; only the total over participants
is opened. Bar t of the means uses returns up to bar t only. Whoever holds all assets but one
learns that one, so what is opened protects a participant only among several others.
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.features.volatility import VolatilityState

__all__ = ["N_MARKET", "log_volatilities", "market_mean", "market_sum"]

N_MARKET = 4
"""Means that `market_mean` gives: the return and three logarithms of volatility."""


def log_volatilities(state: VolatilityState) -> NDArray[np.float64]:
    """`log(s2/s11)`, `log(s33/s11)` and `log(s33)`, shape (n_bars, n_assets, 3).

    NaN during the warm-up and while a price has stood still from its start.
    """
    logs = np.stack(
        [np.log(state.s2 / state.s11), np.log(state.s33 / state.s11), np.log(state.s33)], axis=-1
    )
    return np.where(np.isfinite(state.shock)[..., None], logs, np.nan)


def market_sum(
    returns: NDArray[np.float64],
    state: VolatilityState,
    rows: NDArray[np.intp],
    n_calendar: int,
) -> NDArray[np.float64]:
    """One participant's contribution, shape (2, n_calendar, 4): sums over assets, and counts.

    Parameters
    ----------
    returns : ndarray of shape (n_bars, n_assets)
        Simple returns; NaN entries are left out.
    state : VolatilityState
        Of these returns.
    rows : int of shape (n_bars,)
        Where each bar stands in the calendar.
    """
    values = np.concatenate([returns[..., None], log_volatilities(state)], axis=-1)
    known = np.isfinite(values)
    total = np.zeros((2, n_calendar, N_MARKET))
    total[0, rows] = np.where(known, values, 0.0).sum(axis=1)
    total[1, rows] = known.sum(axis=1)
    return total


def market_mean(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of each bar, shape (n_calendar, 4), from the sum of all contributions.

    NaN where nobody contributed, which a number below one half means where there is noise on it.
    """
    mean = np.full(total.shape[1:], np.nan)
    np.divide(total[0], total[1], out=mean, where=total[1] >= 0.5)
    return mean
