"""The market nowcast: what all participants' assets did today, known to each as a mean.

Each participant adds, for every bar of the federation's calendar, sums over its own assets; only
the total over participants is opened. The means that follow are the same for everybody, and bar t
of them uses returns up to bar t only.
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.features.moments import muted
from fedtrade.features.volatility import VolatilityState

__all__ = ["N_NOWCAST", "beside_nowcast", "market_nowcast", "nowcast_sum", "without_nowcast"]

N_NOWCAST = 4
"""Features that `market_nowcast` gives."""


def nowcast_sum(
    state: VolatilityState, rows: NDArray[np.intp], n_calendar: int
) -> NDArray[np.float64]:
    """One participant's contribution, shape (n_calendar, 5).

    Columns: sums over assets of `log(s2/s11)`, `log(s33/s11)`, `|shock|` and `shock`, and the
    number of assets behind them.

    Parameters
    ----------
    rows : int of shape (n_bars,)
        Where each bar of the state stands in the calendar.
    """
    own = state.own_features()
    columns = np.stack(
        [own[..., 0], own[..., 1], np.abs(state.shock), state.shock, np.ones_like(state.shock)],
        axis=-1,
    )
    known = np.isfinite(columns).all(axis=-1)
    total = np.zeros((n_calendar, N_NOWCAST + 1))
    total[rows] = np.where(known[..., None], columns, 0.0).sum(axis=1)
    return total


def market_nowcast(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of each bar, shape (n_calendar, 4), from the sum of all contributions.

    The means of `log(s2/s11)` and `log(s33/s11)`, `log(0.1 + mean |shock|)` and
    `min(mean shock, 0)`; NaN at bars to which nobody contributed. With noise on the sum a mean
    |shock| below zero is taken for zero, and a number of assets below one half for nobody.
    """
    count = total[:, -1:]
    known = count >= 0.5
    mean = np.divide(total[:, :-1], count, out=np.full_like(total[:, :-1], np.nan), where=known)
    size = np.maximum(mean[:, 2], 0.0)
    return np.stack(
        [mean[:, 0], mean[:, 1], np.log(0.1 + size), np.minimum(mean[:, 3], 0.0)], axis=1
    )


def beside_nowcast(own: NDArray[np.float64], nowcast: NDArray[np.float64]) -> NDArray[np.float64]:
    """An asset's own features (n_bars, n_assets, k) with the bar's nowcast (n_bars, 4) last."""
    repeated = np.broadcast_to(nowcast[:, None, :], (*own.shape[:2], N_NOWCAST))
    return np.concatenate([own, repeated], axis=2)


def without_nowcast(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moments (3, k + 4) of such features under which the nowcast is standardised to zero."""
    n_features = moments.shape[1]
    return muted(moments, np.arange(n_features) >= n_features - N_NOWCAST)
