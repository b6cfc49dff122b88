"""Reversal, momentum and volatility of an asset against the market, free of scale.

Short-term reversal: Lehmann (1990), Quarterly Journal of Economics 105(1), and Jegadeesh (1990),
Journal of Finance 45(3). Momentum that skips the last month: Jegadeesh and Titman (1993), Journal
of Finance 48(1). Low volatility: Ang, Hodrick, Xing and Zhang (2006), Journal of Finance 61(1).
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.features.market_mean import log_volatilities
from fedtrade.features.volatility import VolatilityState

__all__ = [
    "N_RELATIVE",
    "WINDOWS",
    "is_described",
    "momentum_score",
    "relative_features",
    "reversal_score",
    "window_sum",
]

WINDOWS = ((1, 0), (5, 0), (20, 0), (60, 0), (230, 20))
"""Bars summed and, before the present one, bars skipped. The last is 250 bars less the last 20."""
N_RELATIVE = len(WINDOWS) + 3
"""Features that `relative_features` gives."""
REVERSAL = 1
LONG_WINDOWS = (4, 3)
"""Positions of the windows that a short history leaves unknown, the longest first."""
LONGEST_SHORT_WINDOW = 2


def window_sum(values: NDArray[np.float64], n_bars: int, skip: int = 0) -> NDArray[np.float64]:
    """Sum over `n_bars` rows that end `skip` rows before each row; NaN where one is unknown."""
    known = np.isfinite(values)
    n_rows = len(values)
    pad = ((1, 0), (0, 0))
    sums = np.pad(np.cumsum(np.where(known, values, 0.0), axis=0), pad)
    counts = np.pad(np.cumsum(known, axis=0), pad)
    out = np.full_like(values, np.nan)
    first = n_bars + skip - 1
    if first >= n_rows:
        return out
    end, start = slice(n_bars, n_rows - skip + 1), slice(0, n_rows - skip - n_bars + 1)
    whole = counts[end] - counts[start] == n_bars
    out[first:] = np.where(whole, sums[end] - sums[start], np.nan)
    return out


def relative_features(
    returns: NDArray[np.float64], state: VolatilityState, market: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Eight features of shape (n_bars, n_assets, 8); row t uses returns and market up to bar t.

    Five sums of the return in excess of the market's over `WINDOWS`, each over its length's root
    times the volatility of half-life 33 bars; then the three `log_volatilities` less the market's
    mean of them. NaN where a window reaches back before the first return.

    Parameters
    ----------
    returns : ndarray of shape (n_bars, n_assets)
    state : VolatilityState
        Of these returns.
    market : ndarray of shape (n_bars, 4)
        From `market_mean`, at the same bars.
    """
    excess = returns - market[:, :1]
    sums = [window_sum(excess, length, skip) / np.sqrt(length) for length, skip in WINDOWS]
    drift = np.stack(sums, axis=-1) / state.s33[..., None]
    volatility = log_volatilities(state) - market[:, None, 1:]
    return np.concatenate([drift, volatility], axis=-1)


def is_described(features: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where all but the long windows are known, shape (n_bars, n_assets)."""
    short = np.delete(features, LONG_WINDOWS, axis=-1)
    return np.asarray(np.isfinite(short).all(axis=-1))


def momentum_score(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Past relative winners: the longest of the momentum windows that is known."""
    score = features[..., LONGEST_SHORT_WINDOW]
    for window in reversed(LONG_WINDOWS):
        longer = features[..., window]
        score = np.where(np.isfinite(longer), longer, score)
    return score


def reversal_score(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative losers of the last five bars."""
    return -features[..., REVERSAL]
