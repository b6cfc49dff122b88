"""From scores to positions: scaled by volatility, neutral to the market, limited, traded slowly.

Row t of every result uses row t of the scores and earlier ones only.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["inverse_volatility_positions", "neutral_positions", "trade_slowly"]


def neutral_positions(
    scores: ArrayLike, volatility: ArrayLike, *, full_score: float, gross_limit: float = 1.0
) -> NDArray[np.float64]:
    """Long the higher scores and short the lower ones, shape (n, n_assets).

    A position is proportional to score over volatility, less the mean over assets, so that longs
    equal shorts; a single asset cannot be hedged and is held outright. The absolute positions sum
    to `gross_limit` where the scores lie `full_score` from their mean on average, and to
    proportionally less where they are weaker: a model that knows nothing holds nothing.

    Parameters
    ----------
    scores : array of shape (n, n_assets)
        Expected returns in units of volatility. NaN: the asset is not held at that bar.
    volatility : array of the same shape
        Positive where a score is known.
    full_score : float
        Positive; the strength of scores that uses the limit up.
    gross_limit : float
        Positive; largest sum of absolute positions, as a fraction of capital.

    Raises
    ------
    ValueError
        If shapes differ, a limit is not positive, or a scored asset has no positive volatility.
    """
    expected, spread = _aligned(scores, volatility)
    if not full_score > 0.0 or not gross_limit > 0.0:
        raise ValueError(
            f"full_score and gross_limit must be positive, got {full_score} and {gross_limit}."
        )
    held = np.isfinite(expected)
    if not np.all(spread[held] > 0.0):
        raise ValueError("an asset with a score must have a positive volatility.")
    direction = _centred(np.where(held, expected / np.where(held, spread, 1.0), 0.0), held)
    strength = np.abs(_centred(np.where(held, expected, 0.0), held)).sum(axis=1, keepdims=True)
    conviction = np.minimum(strength / np.maximum(held.sum(axis=1, keepdims=True), 1), full_score)
    gross = np.abs(direction).sum(axis=1, keepdims=True)
    # Equal scores leave rounding errors behind, which are no direction.
    is_flat = strength <= 1e-12 * np.abs(np.where(held, expected, 0.0)).sum(axis=1, keepdims=True)
    positions = np.zeros_like(direction)
    np.divide(direction, gross, out=positions, where=(gross > 0.0) & ~is_flat)
    positions *= gross_limit * conviction / full_score
    return positions


def inverse_volatility_positions(
    volatility: ArrayLike, *, gross_limit: float = 1.0
) -> NDArray[np.float64]:
    """Long every asset in proportion to one over its volatility, shape (n, n_assets)."""
    weights: NDArray[np.float64] = 1.0 / np.asarray(volatility, dtype=np.float64)
    weights *= gross_limit / weights.sum(axis=1, keepdims=True)
    return weights


def trade_slowly(targets: ArrayLike, trade_share: float) -> NDArray[np.float64]:
    """Move a share of the way to each row's target, starting flat before the first.

    With costs, partial adjustment towards an aim is better than jumping to it (Garleanu and
    Pedersen 2013, Journal of Finance 68(6), proposition 2, with a fixed rate).

    Raises
    ------
    ValueError
        If `trade_share` is not in (0, 1].
    """
    if not 0.0 < trade_share <= 1.0:
        raise ValueError(f"trade_share must be in (0, 1], got {trade_share}.")
    aims = np.asarray(targets, dtype=np.float64)
    positions = np.empty_like(aims)
    position = np.zeros(aims.shape[1:])
    for bar, aim in enumerate(aims):
        position = position + trade_share * (aim - position)
        positions[bar] = position
    return positions


def _aligned(
    scores: ArrayLike, volatility: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(volatility, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"scores and volatility must both have shape (n, n_assets), got {a.shape}, {b.shape}."
        )
    return a, b


def _centred(values: NDArray[np.float64], held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Less the mean over the held assets of a row, where there are at least two of them."""
    n_held = held.sum(axis=1, keepdims=True)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(n_held, 1)
    return np.where(held, values - np.where(n_held > 1, mean, 0.0), 0.0)
