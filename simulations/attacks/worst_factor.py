"""How far to go in a direction so that a known rule is led astray most."""

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.round_view import RoundView

__all__ = ["worst_factor"]

_LEAST_SHARE = 1e-3
_N_GRID = 16
_N_GOLDEN = 10
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def worst_factor(
    view: RoundView,
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    *,
    largest: float,
    both_signs: bool = False,
) -> float:
    """The factor at which the aggregate lies farthest from the mean of the honest updates.

    All liars send `start + factor * direction`. The damage of a rule that selects has jumps, so
    that a line search alone would get stuck: factors on a geometric grid from a thousandth of
    `largest` to `largest` come first, then golden sections between the neighbours of the best.
    At most 43 evaluations of the rule; the best factor tried is returned.

    Parameters
    ----------
    view : RoundView
        With `aggregate`.
    start, direction : float64 of shape (n_params,)
    largest : float
        Positive.
    both_signs : bool
        Whether negative factors are tried as well.

    Raises
    ------
    ValueError
        If the view has no rule.
    """
    if view.aggregate is None:
        raise ValueError("the rule is not known: the view has no aggregate.")
    rule, honest, mean = view.aggregate, view.benign.astype(np.float32), view.benign.mean(axis=0)
    tried: dict[float, float] = {}

    def damage(factor: float) -> float:
        if factor not in tried:
            crafted = view.repeated(start + factor * direction)
            distance = float(np.linalg.norm(rule(np.concatenate([honest, crafted])) - mean))
            tried[factor] = distance if np.isfinite(distance) else -np.inf
        return tried[factor]

    sizes = np.geomspace(_LEAST_SHARE * largest, largest, _N_GRID)
    grid = [0.0, *sizes]
    if both_signs:
        grid = [*(-sizes[::-1]), *grid]
    best = max(range(len(grid)), key=lambda k: damage(float(grid[k])))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    for _ in range(_N_GOLDEN // 2):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if damage(float(left)) >= damage(float(right)):
            high = right
        else:
            low = left
    return max(tried, key=lambda factor: tried[factor])
