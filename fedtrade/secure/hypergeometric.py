"""How many marked members a random draw without replacement catches."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["least_excess", "tails"]


def tails(population: int, marked: int, draws: int) -> NDArray[np.float64]:
    """P[X > x] for x = 0, ..., draws, where X counts the marked among the drawn."""
    logs = _log_factorials(population)
    least, most = max(0, draws - (population - marked)), min(draws, marked)
    found = np.arange(least, most + 1)
    missed = draws - found
    masses = np.exp(
        (logs[marked] + logs[population - marked] + logs[draws] + logs[population - draws])
        - logs[population]
        - (logs[found] + logs[marked - found])
        - (logs[missed] + logs[population - marked - missed])
    )
    beyond = np.zeros(draws + 1)
    beyond[:least] = 1.0
    beyond[least:most] = np.cumsum(masses[:0:-1])[::-1]
    return beyond


def least_excess(population: int, marked: int, draws: int, probability: float) -> int:
    """The smallest x with P[X > x] < probability; it never falls when there are more draws."""
    return int(np.argmax(tails(population, marked, draws) < probability))


@lru_cache(maxsize=8)
def _log_factorials(largest: int) -> NDArray[np.float64]:
    logs = np.array([math.lgamma(number + 1.0) for number in range(largest + 1)])
    logs.setflags(write=False)
    return logs
