"""The rules as their papers define them: loops in double precision on the rows themselves.

Slow and plain on purpose. `updates` is always of shape (n, d); selections are lists of row numbers.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

Array = np.ndarray


def squared_distance(x: Array, y: Array) -> float:
    return float(((np.asarray(x, np.float64) - np.asarray(y, np.float64)) ** 2).sum())


def squared_distances(updates: Array) -> Array:
    return np.array([[squared_distance(x, y) for y in updates] for x in updates])


# --- selections ---------------------------------------------------------------------------------


def krum_scores(updates: Array, f: int) -> list[float]:
    """Sums over the n - f - 2 nearest others."""
    squared, n = squared_distances(updates), len(updates)
    return [sum(sorted(np.delete(squared[i], i))[: n - f - 2]) for i in range(n)]


def krum(updates: Array, f: int) -> int:
    return int(np.argmin(krum_scores(updates, f)))


def multi_krum(updates: Array, f: int, n_selected: int | None = None) -> list[int]:
    scores = krum_scores(updates, f)
    return sorted(np.argsort(scores, kind="stable")[: n_selected or len(updates) - f].tolist())


def bulyan_selection(updates: Array, f: int) -> list[int]:
    """Krum anew, from nothing, for each of the n - 2f choices."""
    left, chosen = list(range(len(updates))), []
    for _ in range(len(updates) - 2 * f):
        squared = squared_distances(updates[left])
        n_near = max(len(left) - f - 2, 1)
        scores = [sum(sorted(np.delete(squared[k], k))[:n_near]) for k in range(len(left))]
        chosen.append(left.pop(int(np.argmin(scores))))
    return chosen


def nearest_to_median(values: Array, n_kept: int) -> Array:
    """Without ties."""
    return values[np.argsort(np.abs(values - np.median(values)), kind="stable")[:n_kept]]


def bulyan(updates: Array, f: int) -> Array:
    rows = np.asarray(updates, np.float64)[bulyan_selection(updates, f)]
    return np.array([nearest_to_median(column, len(rows) - 2 * f).mean() for column in rows.T])


def diameter(updates: Array, rows: Sequence[int]) -> float:
    return max(squared_distance(updates[i], updates[j]) for i, j in combinations(rows, 2)) ** 0.5


def minimum_diameter(updates: Array, f: int) -> list[int]:
    """The best of all subsets."""
    subsets = combinations(range(len(updates)), len(updates) - f)
    return list(min(subsets, key=lambda rows: diameter(updates, rows)))


def monna(updates: Array, own: Array, f: int) -> Array:
    squared = [squared_distance(x, own) for x in updates]
    near = np.argsort(squared, kind="stable")[: len(updates) - f]
    return np.vstack([own[None], updates[near]]).astype(np.float64).mean(axis=0)


# --- coordinates --------------------------------------------------------------------------------


def by_coordinate(rule: Callable[[Array], float]) -> Callable[[Array], Array]:
    return lambda updates: np.array([rule(column) for column in updates.T.astype(np.float64)])


def trimmed_mean(updates: Array, f: int) -> Array:
    return by_coordinate(lambda values: sorted(values)[f : len(values) - f] @ _equal(values, f))(
        updates
    )


def _equal(values: Array, f: int) -> Array:
    n_kept = len(values) - 2 * f
    return np.full(n_kept, 1.0 / n_kept)


def median(updates: Array, f: int = 0) -> Array:
    def middle(values: Array) -> float:
        ordered = sorted(values)
        return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2.0

    return by_coordinate(middle)(updates)


def meamed(updates: Array, f: int) -> Array:
    return by_coordinate(lambda values: nearest_to_median(values, len(values) - f).mean())(updates)


def sign_majority(updates: Array, f: int = 0) -> Array:
    def voted(values: Array) -> float:
        vote = sum(1 if v > 0 else -1 if v < 0 else 0 for v in values)
        return float(np.sign(vote) * np.median(np.abs(values)))

    return by_coordinate(voted)(updates)


# --- mixers -------------------------------------------------------------------------------------


def nnm(updates: Array, f: int) -> Array:
    squared, n = squared_distances(updates), len(updates)
    near = [np.argsort(row, kind="stable")[: n - f] for row in squared]
    return np.array([updates[rows].astype(np.float64).mean(axis=0) for rows in near])


def clipped(updates: Array, radius: float) -> Array:
    rows = []
    for row in np.asarray(updates, np.float64):
        norm = float(np.linalg.norm(row))
        rows.append(row if norm <= radius else row * (radius / norm))
    return np.array(rows)


def norm_clipping(updates: Array, f: int = 0) -> Array:
    return clipped(updates, float(np.median(np.linalg.norm(updates.astype(np.float64), axis=1))))


def arc(updates: Array, f: int) -> Array:
    n = len(updates)
    norms = sorted(np.linalg.norm(updates.astype(np.float64), axis=1))
    return clipped(updates, norms[n - (2 * f * (n - f)) // n - 1])


# --- the rest -----------------------------------------------------------------------------------


def sum_of_distances(updates: Array, point: Array, weights: Array | None = None) -> float:
    lengths = np.linalg.norm(updates.astype(np.float64) - point, axis=1)
    return float(lengths.sum() if weights is None else weights @ lengths)


def centered_clipping(
    updates: Array,
    previous: Array,
    radius: float | None,
    n_iterations: int,
    weights: Array | None = None,
) -> Array:
    shares = np.ones(len(updates)) if weights is None else np.asarray(weights, np.float64)
    shares = shares / shares.sum()
    v = np.asarray(previous, np.float64)
    for _ in range(n_iterations):
        lengths = [squared_distance(x, v) ** 0.5 for x in updates]
        most = float(np.median(lengths)) if radius is None else radius
        pulls = [
            share * (x - v) * (min(1.0, most / length) if length > 0.0 else 1.0)
            for share, x, length in zip(shares, updates.astype(np.float64), lengths, strict=True)
        ]
        v = v + np.sum(pulls, axis=0)
    return v


def cosine(x: Array, y: Array) -> float:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def fltrust(updates: Array, root: Array) -> Array:
    trust = [max(0.0, cosine(x, root)) for x in updates]
    length = np.linalg.norm(root.astype(np.float64))
    scaled = [x / np.linalg.norm(x) * length for x in updates.astype(np.float64)]
    return np.sum([t * x for t, x in zip(trust, scaled, strict=True)], axis=0) / sum(trust)


def foolsgold_weights(history: Array, confidence: float = 1.0) -> Array:
    """Algorithm 1 on the sums of all updates so far, scaled to the sum one.

    Likeness starts at zero, as in the authors' own code.
    """
    n = len(history)
    alike = [[cosine(x, y) for y in history] for x in history]
    most = [max(0.0, *(alike[i][j] for j in range(n) if j != i)) for i in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j and most[j] > most[i]:
                alike[i][j] *= most[i] / most[j]
    rates = [1.0 - max(alike[i][j] for j in range(n) if j != i) for i in range(n)]
    rates = [min(max(rate, 0.0), 1.0) for rate in rates]
    rates = [min(rate / max(rates), 0.99) for rate in rates]
    logits = [
        0.0 if rate == 0.0 else confidence * np.log(rate / (1.0 - rate)) + 0.5 for rate in rates
    ]
    weights = np.array([min(max(logit, 0.0), 1.0) for logit in logits])
    return weights / weights.sum()
