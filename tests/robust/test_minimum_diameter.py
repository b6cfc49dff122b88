"""Minimum-diameter averaging by hand and against a search through all subsets."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, sample


def test_by_hand() -> None:
    """Of five points without two the closest three are 4, 5 and 6."""
    updates = np.array([0, 4, 9, 5, 6], dtype=np.float32)[:, None]
    found = aggregate("minimum_diameter", updates, n_byzantine=2)
    assert found.update.tolist() == [5.0]
    np.testing.assert_allclose(found.weights, np.array([0, 1, 0, 1, 1]) / 3.0)


def test_weights_count_among_those_kept() -> None:
    updates = np.array([0, 4, 9, 5, 6], dtype=np.float32)[:, None]
    found = aggregate("minimum_diameter", updates, n_byzantine=2, weights=[9, 1, 9, 1, 2])
    assert found.update.tolist() == [5.25]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (6, 5, 2), (9, 3, 4), (12, 20, 3), (7, 2, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_no_subset_is_narrower(kind: str, n: int, d: int, f: int, seed: int) -> None:
    updates = sample(kind, n, d, f, seed)
    kept = np.flatnonzero(aggregate("minimum_diameter", updates, n_byzantine=f).weights)
    assert len(kept) == n - f
    best = naive.diameter(updates, naive.minimum_diameter(updates, f))
    assert naive.diameter(updates, kept.tolist()) == pytest.approx(best, rel=1e-5)


def _at_distances(squared: np.ndarray) -> np.ndarray:
    """Points with these squared distances, by classical scaling."""
    n = len(squared)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ squared @ centring)
    assert values.min() > -1e-9
    return (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)


def test_the_row_far_from_most_others_may_have_to_stay() -> None:
    """0 is far from 1, 2 and 3, which are each far from two more: to leave 0 out helps nobody."""
    far = [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (2, 7), (3, 8), (3, 9)]
    squared = 1.0 - np.eye(10)
    squared[4, 9] = squared[9, 4] = 1.1  # of those that stay the farthest
    for i, j in far:
        squared[i, j] = squared[j, i] = 1.2
    found = aggregate("minimum_diameter", _at_distances(squared), n_byzantine=3)
    assert np.flatnonzero(found.weights).tolist() == [0, 4, 5, 6, 7, 8, 9]


def test_equal_rows_leave_exactly_f_out() -> None:
    found = aggregate("minimum_diameter", np.ones((5, 3), dtype=np.float32), n_byzantine=2)
    assert sorted(found.weights) == pytest.approx([0.0, 0.0, 1 / 3, 1 / 3, 1 / 3])


def test_many_liars_far_from_each_other_are_found() -> None:
    """The search branches where rows are far apart; twelve of them are its limit."""
    updates = sample("random", 60, 8, 0)
    updates[:12] *= np.linspace(50.0, 900.0, 12, dtype=np.float32)[:, None]
    found = aggregate("minimum_diameter", updates, n_byzantine=12)
    assert not found.weights[:12].any()
    assert (found.weights[12:] > 0.0).all()


def test_a_search_without_end_is_refused() -> None:
    rule = build_rule("minimum_diameter")
    assert rule.least_clients(12) == 25
    with pytest.raises(ValueError, match=r"minimum_diameter .* f must be at most 12, got f=13"):
        rule.check(100, 13)
    with pytest.raises(ValueError, match="f must be at most 12, got f=13"):
        rule.least_clients(13)


def test_keeping_only_clients_of_weight_zero_is_refused() -> None:
    updates = np.array([0, 0, 0, 50, 90], dtype=np.float32)[:, None]
    with pytest.raises(
        ValueError, match="minimum_diameter: all clients that it kept have a weight"
    ):
        aggregate("minimum_diameter", updates, n_byzantine=2, weights=[0, 0, 0, 1, 1])
