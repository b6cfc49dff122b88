"""A privacy loss distribution that dominates whatever has certain moments."""

from math import ceil
from typing import Any

import numpy as np
from dp_accounting.pld import pld_pmf, privacy_loss_distribution
from numpy.typing import NDArray

from fedtrade.privacy.accountants.rdp import RDPAccountant

__all__ = ["dominating_distribution"]

_N_POINTS = 300
_NEGLIGIBLE = 1e-18


def dominating_distribution(bounded: RDPAccountant, interval: float) -> Any:
    """A distribution whose delta at every epsilon is at least that of all that was composed.

    The deltas of a mechanism, in exp(epsilon), are a convex function; what lies below the bound by
    moments at some points thus lies below the convex hull of these points. Their hull is the
    curve of a distribution, which may be composed with others (Zhu, Dong and Wang 2022,
    proposition 7 and theorem 10). Below zero, the curve of one neighbour against the other is that
    of the other against the one, mirrored.

    Parameters
    ----------
    interval : float
        Of the grid of losses.
    """
    last = 1.0
    while bounded.delta(last) > _NEGLIGIBLE and last < 1e4:
        last *= 1.5
    step = max(1, ceil(last / interval / _N_POINTS))
    rounded = step * np.arange(-_N_POINTS, _N_POINTS + 1)
    epsilons = interval * rounded
    above = np.array([bounded.delta(epsilon) for epsilon in epsilons[_N_POINTS:]])
    factors = np.exp(epsilons[:_N_POINTS])
    below = 1.0 - factors + factors * above[:0:-1]
    deltas = _convex_hull(np.exp(epsilons), np.concatenate([below, above]))
    probabilities = pld_pmf.create_pmf_pessimistic_connect_dots(interval, rounded, deltas)
    return privacy_loss_distribution.PrivacyLossDistribution(probabilities)


def _convex_hull(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest convex function below the points and (0, 1), at each `x`; these rise from above 0."""
    hull = [(0.0, 1.0)]
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(hull) > 1 and _is_above(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
    corners = np.array(hull)
    return np.asarray(np.interp(x, corners[:, 0], corners[:, 1]))


def _is_above(
    middle: tuple[float, float], left: tuple[float, float], right: tuple[float, float]
) -> bool:
    slope = (right[1] - left[1]) * (middle[0] - left[0])
    return (middle[1] - left[1]) * (right[0] - left[0]) >= slope
