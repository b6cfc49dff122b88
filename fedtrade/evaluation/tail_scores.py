"""All scores of a tail forecast, as sums that add over assets, participants and episodes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.evaluation.acerbi_szekely import acerbi_szekely_z2, shortfall_sums
from fedtrade.evaluation.coverage import (
    breaches,
    christoffersen,
    hit_counts,
    kupiec,
    transition_counts,
)
from fedtrade.evaluation.quantile_scores import fz0, pinball

__all__ = ["TAIL_TOTALS", "TailScores", "tail_metrics", "tail_scores"]

TAIL_TOTALS = (
    "n",
    "pinball",
    "fz0",
    "hits",
    "n00",
    "n01",
    "n10",
    "n11",
    "n_shortfall",
    "shortfall",
    "shortfall_squares",
)
"""What is summed at one level, in this order."""


class TailScores(NamedTuple):
    """Scores of one forecast on some assets.

    Attributes
    ----------
    totals : float64 of shape (n_levels, n_totals)
        Sums over bars and assets, columns as in `TAIL_TOTALS`.
    daily_pinball : float64 of shape (n_bars, n_levels)
        Means over assets.
    """

    totals: NDArray[np.float64]
    daily_pinball: NDArray[np.float64]


def tail_scores(
    returns: NDArray[np.float64],
    var: NDArray[np.float64],
    es: NDArray[np.float64],
    levels: Sequence[float],
) -> TailScores:
    """Score forecasts of shape (n_bars, n_assets, n_levels) of returns (n_bars, n_assets).

    Raises
    ------
    ValueError
        If a return or a forecast is missing, or an `es` is not negative.
    """
    if not (np.isfinite(returns).all() and np.isfinite(var).all() and np.isfinite(es).all()):
        raise ValueError("a return or a tail forecast of the scored bars is missing.")
    if not (es < 0.0).all():
        raise ValueError(f"an expected shortfall must be negative, got {es.max():g}.")
    loss = pinball(returns[..., None], var, levels)
    totals = [
        _totals(returns, var[..., k], es[..., k], loss[..., k], level)
        for k, level in enumerate(levels)
    ]
    return TailScores(np.array(totals), loss.mean(axis=1))


def tail_metrics(totals: NDArray[np.float64], level: float) -> dict[str, float]:
    """Metrics of one level from its totals (n_totals,); NaN where there are none."""
    sums = dict(zip(TAIL_TOTALS, totals.tolist(), strict=True))
    n = sums["n"]
    if n == 0:
        return {}
    n00, n01, n10, n11 = (int(sums[name]) for name in ("n00", "n01", "n10", "n11"))
    coverage = christoffersen(n00, n01, n10, n11, level)
    shortfall = acerbi_szekely_z2(
        int(sums["n_shortfall"]), sums["shortfall"], sums["shortfall_squares"]
    )
    return {
        "pinball": sums["pinball"] / n,
        "fz0": sums["fz0"] / n,
        "hit_rate": sums["hits"] / n,
        "kupiec_p": kupiec(int(n), int(sums["hits"]), level).p_value,
        "christoffersen_p": coverage.conditional_coverage.p_value,
        "acerbi_szekely_z2": shortfall.statistic,
        "acerbi_szekely_p": shortfall.p_value,
    }


def _totals(
    returns: NDArray[np.float64],
    var: NDArray[np.float64],
    es: NDArray[np.float64],
    loss: NDArray[np.float64],
    level: float,
) -> list[float]:
    hits = breaches(returns, var)
    count = hit_counts(hits)
    shortfall = shortfall_sums(returns, var, es, level)
    joint = fz0(returns, var, es, level)
    return [
        count.n,
        float(loss.sum()),
        float(joint.sum()),
        count.hits,
        *transition_counts(hits),
        shortfall.n,
        shortfall.total,
        shortfall.total_squares,
    ]
