"""What an asset's own past returns say about its volatility, free of scale."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.baselines.ewma import ewma_variance, expanding_variance

__all__ = ["VolatilityState", "volatility_state"]

SHOCK_LIMIT = 6.0
FLOOR = 0.05
"""Least volatility as a share of the expanding one: a stale price has no variance for a while."""
LEAST_VOLATILITY = 1e-6
"""Volatility of a price that has stood still from its start: nothing is known of it yet."""


class VolatilityState(NamedTuple):
    """Volatilities known after each bar, and the bar's shock; each of shape (n_bars, n_assets).

    `s2`, `s11` and `s33` are the roots of EWMA variances of half-life 2.5, 11 and 33 bars, `s_all`
    that of the mean square since the first return. `shock` is the bar's return over the `s11`
    known before it, clipped to +-6. NaN during the warm-up of 20 returns; the shock is also NaN
    while a price has stood still from its start, so that nobody learns from it.
    """

    s2: NDArray[np.float64]
    s11: NDArray[np.float64]
    s33: NDArray[np.float64]
    s_all: NDArray[np.float64]
    shock: NDArray[np.float64]

    def own_features(self) -> NDArray[np.float64]:
        """Five numbers of shape (n_bars, n_assets, 5).

        `log(s2/s11)`, `log(s33/s11)`, `log(s_all/s11)`, `log(0.1 + |shock|)`, `min(shock, 0)`.
        """
        return np.stack(
            [
                np.log(self.s2 / self.s11),
                np.log(self.s33 / self.s11),
                np.log(self.s_all / self.s11),
                np.log(0.1 + np.abs(self.shock)),
                np.minimum(self.shock, 0.0),
            ],
            axis=-1,
        )


def volatility_state(returns: NDArray[np.float64]) -> VolatilityState:
    """Follow the volatility of each column of `returns` (n_bars, n_assets), simple returns.

    Row t uses returns up to bar t. A column's leading values may be NaN.
    """
    s_all = np.sqrt(expanding_variance(returns))
    moved = np.where(s_all > LEAST_VOLATILITY, 1.0, np.nan)
    s_all = np.maximum(s_all, LEAST_VOLATILITY)
    s2, s11, s33 = (
        np.maximum(np.sqrt(ewma_variance(returns, half_life)), FLOOR * s_all)
        for half_life in (2.5, 11.0, 33.0)
    )
    before = np.vstack([np.full((1, returns.shape[1]), np.nan), (s11 * moved)[:-1]])
    shock = np.clip(returns / before, -SHOCK_LIMIT, SHOCK_LIMIT)
    return VolatilityState(s2, s11, s33, s_all, shock)
