"""Rank information coefficient: whether a signal orders assets as their next returns do."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.evaluation.comparison import mean_t

MIN_ASSETS = 3


class RankIcSummary(NamedTuple):
    """Mean rank IC over bars, its t statistic (Newey-West), and the bars it comes from."""

    mean: float
    t: float
    n_bars: int


def rank_ic(signal: ArrayLike, returns: ArrayLike) -> NDArray[np.float64]:
    """Spearman correlation across assets, bar by bar.

    Parameters
    ----------
    signal, returns : arrays of shape (n, n_assets)
        Row t of `returns` is what row t of `signal` was meant to predict: shift before calling.
        Assets with a NaN in either are left out of that bar; ties share their mean rank.

    Returns
    -------
    ndarray of shape (n,)
        NaN for bars with fewer than 3 assets, or where all values of a side are equal.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(signal, dtype=np.float64), np.asarray(returns, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"signal and returns must both have shape (n, n_assets), got {a.shape} and {b.shape}."
        )
    known = ~(np.isnan(a) | np.isnan(b))
    n_assets = known.sum(axis=1, keepdims=True)
    # Left-out assets rank last (inf) and are then masked: ranks of the others are unchanged.
    centre = (n_assets + 1.0) / 2.0
    x, y = (
        np.where(known, rankdata(np.where(known, side, np.inf), axis=1) - centre, 0.0)
        for side in (a, b)
    )
    covariance = (x * y).sum(axis=1)
    scale = np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum(axis=1))
    defined = (n_assets[:, 0] >= MIN_ASSETS) & (scale > 0.0)
    ic = np.full(len(a), np.nan)
    np.divide(covariance, scale, out=ic, where=defined)
    return ic


def rank_ic_summary(ic: ArrayLike, lags: int | None = None) -> RankIcSummary:
    """Mean and t statistic of a series of rank ICs of shape (n,), NaN bars left out.

    `lags` as in `mean_t`. Without any bar the mean is NaN.
    """
    values = np.asarray(ic, dtype=np.float64)
    values = values[~np.isnan(values)]
    mean = float(values.mean()) if values.size else float("nan")
    return RankIcSummary(mean, mean_t(values, lags), values.size)
