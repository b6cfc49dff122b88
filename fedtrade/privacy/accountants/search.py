"""Delta from epsilon, for accountants that answer only the other way round."""

from collections.abc import Callable
from math import exp, log

__all__ = ["delta_by_search"]

_LEAST = 1e-12
_TOLERANCE = 1e-3


def delta_by_search(epsilon_at: Callable[[float], float], epsilon: float) -> float:
    """The least delta whose epsilon is at most `epsilon`, rounded up by at most 0.1 %.

    `epsilon_at` must not rise with delta. What is below 1e-12 counts as 1e-12, and as 1 whatever
    no delta below 1 reaches.
    """
    if epsilon_at(_LEAST) <= epsilon:
        return _LEAST
    low, high = log(_LEAST), 0.0
    while high - low > _TOLERANCE:
        middle = (low + high) / 2.0
        low, high = (low, middle) if epsilon_at(exp(middle)) <= epsilon else (middle, high)
    return exp(high)
