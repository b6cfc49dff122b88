"""Backtest of positions with turnover and costs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BASIS_POINT = 1e-4


class Backtest(NamedTuple):
    """Portfolio results; row i belongs to the position decided at bar i, held over bar i + 1.

    `gross` (n - 1,) is the return before costs, `turnover` (n - 1,) the sum over assets of
    absolute changes of position made to get there, `net` (n - 1, n_costs) the return after each
    cost.
    """

    gross: NDArray[np.float64]
    turnover: NDArray[np.float64]
    net: NDArray[np.float64]


def backtest(
    positions_at_close: ArrayLike, returns: ArrayLike, cost_bps: float | Sequence[float]
) -> Backtest:
    """Returns of holding, from the close of each bar to the next close, the positions decided then.

    Parameters
    ----------
    positions_at_close : array of shape (n,) or (n, n_assets)
        Position decided at the close of bar t, as a fraction of capital (negative is short).
        Row t earns row t + 1 of `returns`; the last row earns nothing and is not charged.
    returns : array of the same shape
        Simple returns of bar t over bar t - 1; NaN is allowed only where no position is held.
    cost_bps : float or sequence of shape (n_costs,)
        Cost of changing a position by the whole capital, in basis points, charged on every change
        including the entry from nothing. An exit is a change to zero, so it costs only if
        `positions_at_close` contains it. Drift of positions within a bar is not counted.

    Raises
    ------
    ValueError
        If shapes differ, a position is not finite or has no return to earn, or a cost is negative.
    """
    positions, earned = _held(positions_at_close, returns)
    costs = np.atleast_1d(np.asarray(cost_bps, dtype=np.float64))
    if costs.ndim != 1 or not np.all(costs >= 0.0):
        raise ValueError(f"cost_bps must be zero or more basis points, got {cost_bps}.")
    gross = np.sum(positions * earned, axis=1)
    entry = np.zeros((1, positions.shape[1]))
    turnover = np.abs(np.diff(positions, axis=0, prepend=entry)).sum(axis=1)
    net = gross[:, None] - turnover[:, None] * costs * BASIS_POINT
    return Backtest(gross, turnover, net)


def _held(
    positions_at_close: ArrayLike, returns: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and the returns they earn, both of shape (n - 1, n_assets)."""
    positions = np.asarray(positions_at_close, dtype=np.float64)
    moves = np.asarray(returns, dtype=np.float64)
    if positions.ndim not in (1, 2) or positions.shape != moves.shape or len(positions) < 2:
        raise ValueError(
            "positions_at_close and returns must have one shape (n, n_assets) with n > 1, "
            f"got {positions.shape} and {moves.shape}."
        )
    held = positions[:-1].reshape(len(positions) - 1, -1)
    earned = moves[1:].reshape(held.shape)
    if not np.isfinite(held).all():
        bar, asset = np.argwhere(~np.isfinite(held))[0]
        raise ValueError(f"position of asset {asset} at bar {bar} is {held[bar, asset]}; use 0.")
    stranded = (held != 0.0) & ~np.isfinite(earned)
    if stranded.any():
        bar, asset = np.argwhere(stranded)[0]
        raise ValueError(
            f"asset {asset} is held at bar {bar} but has no return at bar {bar + 1}; "
            "set its position to 0."
        )
    return held, np.where(held != 0.0, earned, 0.0)
