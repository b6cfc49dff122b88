"""Adaptive robust clipping by hand and against a loop."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def test_by_hand() -> None:
    """n = 5, f = 1: floor(2 * 1 * 4 / 5) = 1 row is clipped, (0, 50) to the norm 5 of (3, 4)."""
    updates = np.array([[3, 4], [0, 50], [1, 0], [0, -2], [-1, 0]], dtype=np.float32)
    mixed = build_rule("arc").mix(updates, n_byzantine=1)
    expected = np.array([[3, 4], [0, 5], [1, 0], [0, -2], [-1, 0]])
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    found = aggregate("arc", updates, n_byzantine=1)
    np.testing.assert_allclose(found.update, expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.weights, [0.2, 0.02, 0.2, 0.2, 0.2])


def test_nothing_is_clipped_without_liars() -> None:
    updates = sample("heterogeneous", 7, 3, 0)
    np.testing.assert_array_equal(build_rule("arc").mix(updates), updates)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (5, 40, 1), (12, 9, 3), (25, 7, 12)])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    mixed = build_rule("arc").mix(updates, n_byzantine=f)
    assert relative_error(mixed, naive.arc(updates, f)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_rules_behind_it_see_what_it_clipped(kind: str) -> None:
    f = 3
    updates = sample(kind, 13, 6, f)
    clipped = naive.arc(updates, f)
    for rule, expected in {
        "arc+median": naive.median(clipped),
        "arc+trimmed_mean": naive.trimmed_mean(clipped, f),
        "arc+nnm": naive.nnm(clipped, f).mean(axis=0),
        "arc+nnm+trimmed_mean": naive.trimmed_mean(naive.nnm(clipped, f), f),
    }.items():
        found = aggregate(rule, updates, n_byzantine=f).update
        assert relative_error(found, expected) < 1e-5, rule
    median = aggregate("arc+nnm+geometric_median", updates, n_byzantine=f).update
    mixed = naive.nnm(clipped, f)
    total = naive.sum_of_distances(mixed, median)
    for start in (*mixed, mixed.mean(axis=0)):
        assert total <= naive.sum_of_distances(mixed, start) * (1.0 + 1e-5)


@pytest.mark.parametrize("size", [1e3, 1e10, 1e20, 3e38])
def test_rows_of_any_size_are_cut_to_an_honest_norm(size: float) -> None:
    updates = sample("random", 9, 4, 0)
    updates[:4] = size
    mixed = build_rule("arc").mix(updates, n_byzantine=4)
    norms = np.linalg.norm(mixed.astype(np.float64), axis=1)
    assert norms.max() <= np.linalg.norm(updates[4:].astype(np.float64), axis=1).max() * 1.0001
