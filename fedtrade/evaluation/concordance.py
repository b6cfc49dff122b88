"""Rank agreement in the smallest cross-sections: Kendall's tau bar by bar."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["concordance"]


def concordance(signal: ArrayLike, returns: ArrayLike) -> NDArray[np.float64]:
    """Kendall's (1938, Biometrika 30) tau-a across assets, bar by bar.

    The share of pairs of assets that the signal orders as the returns do, less the share that it
    orders the other way; a tie counts for neither. Its expectation does not depend on the number
    of assets, so participants with two and with five can be averaged, where Spearman's coefficient
    of two assets is degenerate. For weak signals it is about two thirds of Spearman's.

    Parameters
    ----------
    signal, returns : arrays of shape (n, n_assets)
        Row t of `returns` is what row t of `signal` was meant to predict: shift before calling.
        Assets with a NaN in either are left out of that bar.

    Returns
    -------
    ndarray of shape (n,)
        NaN for bars with fewer than two assets.
    """
    a, b = np.asarray(signal, dtype=np.float64), np.asarray(returns, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"signal and returns must both have shape (n, n_assets), got {a.shape} and {b.shape}."
        )
    agreement, n_pairs = np.zeros(len(a)), np.zeros(len(a))
    # One asset against all that follow: memory stays linear in the number of assets.
    for asset in range(a.shape[1] - 1):
        later = slice(asset + 1, None)
        product = np.sign(a[:, later] - a[:, [asset]]) * np.sign(b[:, later] - b[:, [asset]])
        known = np.isfinite(product)
        agreement += np.where(known, product, 0.0).sum(axis=1)
        n_pairs += known.sum(axis=1)
    tau = np.full(len(a), np.nan)
    np.divide(agreement, n_pairs, out=tau, where=n_pairs > 0)
    return tau
