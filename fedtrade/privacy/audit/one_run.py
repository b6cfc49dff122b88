"""A lower bound on epsilon from one training (Steinke, Nasr and Jagielski 2023).

Many canaries are in the training or not, each by the toss of a fair coin. Whoever sees what the
training releases guesses the tosses. Of an (epsilon, delta)-DP mechanism the guesses cannot be much
better than tosses biased by epsilon, so that many right ones prove epsilon to be large. The bound
holds with the confidence given whatever the data, the training and the way of guessing are.
https://arxiv.org/abs/2305.08846, theorem 5.2 and its proposition for deltas.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

__all__ = [
    "Guesses",
    "best_bound",
    "canaries_needed",
    "epsilon_lower_bound",
    "guesses",
    "reachable_bound",
]

TRIES = (0.05, 0.1, 0.2, 0.4, 1.0)
"""Shares of the canaries to guess at, chosen before any score is seen."""
MARGIN = 1.1
"""How much further than the claim a bound should be able to reach, as some guesses go wrong."""
NUMBERS_OF_CANARIES = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""To choose from."""

_MOST_EPSILON = 64.0


class Guesses(NamedTuple):
    """How many of the canaries were guessed at, and how many right."""

    n_canaries: int
    n_guessed: int
    n_right: int


def guesses(scores: NDArray[np.float64], included: NDArray[np.bool_], n_guessed: int) -> Guesses:
    """Guess that the highest scores were in, the lowest out, and say nothing of the others.

    Parameters
    ----------
    scores, included : arrays of shape (n_canaries,)
        Higher scores speak for having been in.
    n_guessed : int
        Half of them each way.
    """
    half = n_guessed // 2
    order = np.argsort(scores, kind="stable")
    n_right = int(np.sum(~included[order[:half]]) + np.sum(included[order[len(order) - half :]]))
    return Guesses(len(scores), 2 * half, n_right)


def epsilon_lower_bound(found: Guesses, delta: float, confidence: float = 0.95) -> float:
    """The largest epsilon that so many right guesses rule out; 0 if they rule out none.

    Raises
    ------
    ValueError
        If a value is out of range.
    """
    m, r, v = found
    if not 0 <= v <= r <= m or m < 1:
        raise ValueError(f"{v} right of {r} guesses about {m} canaries is no outcome.")
    if not 0.0 <= delta < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"delta={delta} and confidence={confidence} must lie in (0, 1).")
    allowed = 1.0 - confidence
    if _p_value(found, 0.0, delta) >= allowed:
        return 0.0
    low, high = 0.0, 1.0
    while _p_value(found, high, delta) < allowed:
        low, high = high, 2.0 * high
        if high > _MOST_EPSILON:
            return _MOST_EPSILON
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _p_value(found, middle, delta) < allowed:
            low = middle
        else:
            high = middle
    return low


def best_bound(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    delta: float,
    confidence: float = 0.95,
) -> tuple[float, Guesses]:
    """The best bound over several numbers of guesses, corrected for their number (Bonferroni)."""
    return _best(
        [guesses(scores, included, round(share * len(scores))) for share in TRIES],
        delta,
        confidence,
    )


def reachable_bound(n_canaries: int, delta: float, confidence: float = 0.95) -> float:
    """What `best_bound` proves if every guess is right: no claim above it can be refuted."""
    all_right = []
    for share in TRIES:
        n = 2 * (round(share * n_canaries) // 2)
        all_right.append(Guesses(n_canaries, n, n))
    return _best(all_right, delta, confidence)[0]


def canaries_needed(epsilon: float, delta: float, confidence: float = 0.95) -> int | None:
    """So many with which a claim of `epsilon` can be refuted with room to spare; None if none do.

    More canaries do not reach ever further: the term of delta grows with their number.
    """
    for n in NUMBERS_OF_CANARIES:
        if reachable_bound(n, delta, confidence) > MARGIN * epsilon:
            return n
    return None


def _best(found: Sequence[Guesses], delta: float, confidence: float) -> tuple[float, Guesses]:
    each = 1.0 - (1.0 - confidence) / len(found)
    bounds = [epsilon_lower_bound(g, delta, each) for g in found]
    best = int(np.argmax(bounds))
    return bounds[best], found[best]


def _p_value(found: Guesses, epsilon: float, delta: float) -> float:
    """Probability of at least as many right guesses, at most, if (epsilon, delta)-DP holds."""
    m, r, v = found
    right = 1.0 / (1.0 + np.exp(-epsilon))
    tail = float(binom.sf(v - 1, r, right))
    if delta == 0.0 or v == 0:
        return min(tail, 1.0)
    # The gain of an adversary that knows of a failure of probability delta at i of the canaries.
    i = np.arange(1, v + 1)
    below = np.cumsum(binom.pmf(v - i, r, right))
    return min(tail + 2.0 * m * delta * float(np.max(below / i)), 1.0)
