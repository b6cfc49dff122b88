"""Updates as rules meet them: alike, in clusters, unlike each other, and with liars among them."""

import numpy as np

KINDS = ("random", "clustered", "heterogeneous", "attacked")


def sample(kind: str, n: int, d: int, f: int, seed: int = 0) -> np.ndarray:
    """float32 of shape (n, d), in random order."""
    rng = np.random.default_rng([seed, n, d, f])
    updates = rng.normal(size=(n, d))
    if kind == "clustered":
        updates = 0.2 * updates + rng.normal(size=(3, d))[rng.integers(3, size=n)]
    elif kind == "heterogeneous":
        updates *= rng.lognormal(0.0, 1.0, (n, 1))
        updates += rng.normal(size=d) + rng.standard_t(3.0, (n, d))
    elif kind == "attacked":
        updates[:f] = -5.0 * updates[f:].mean(axis=0) + 0.01 * rng.normal(size=(f, d))
    return np.ascontiguousarray(updates[rng.permutation(n)].astype(np.float32))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Of vectors, by their norms; the absolute one where zero is expected."""
    expected = np.asarray(expected, np.float64)
    error = float(np.linalg.norm(np.asarray(found, np.float64) - expected))
    size = float(np.linalg.norm(expected))
    return error / size if size > 0.0 else error
