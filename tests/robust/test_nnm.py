"""Nearest-neighbour mixing by hand and against a loop."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_by_hand() -> None:
    """The three nearest to 0, 1 and 4 are these; 10 is nearest to 4 and 18, 18 to 10 and 4."""
    mixed = build_rule("nnm").mix(_column(0, 1, 4, 10, 18), n_byzantine=2)
    np.testing.assert_allclose(mixed[:, 0], [5 / 3, 5 / 3, 5 / 3, 32 / 3, 32 / 3], rtol=1e-6)
    found = aggregate("nnm", _column(0, 1, 4, 10, 18), n_byzantine=2)
    np.testing.assert_allclose(found.weights, np.array([3, 3, 5, 2, 2]) / 15.0, rtol=1e-6)


def test_rows_equally_far_all_count() -> None:
    """Both 0 and 2 are at one from 1, so that two of three neighbours become three."""
    mixed = build_rule("nnm").mix(_column(0, 1, 2), n_byzantine=1)
    np.testing.assert_allclose(mixed[:, 0], [0.5, 1.0, 1.5])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (5, 40, 0), (12, 9, 3), (25, 7, 12)])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    mixed = build_rule("nnm").mix(updates, n_byzantine=f)
    assert mixed.shape == updates.shape
    assert mixed.dtype == np.float32
    assert relative_error(mixed, naive.nnm(updates, f)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_rules_behind_it_see_what_it_mixed(kind: str) -> None:
    f = 3
    updates = sample(kind, 13, 6, f)
    mixed = naive.nnm(updates, f)
    # Not meamed, whose ties all count: rows with the same neighbours are the same.
    for rule, expected in {
        "nnm+trimmed_mean": naive.trimmed_mean(mixed, f),
        "nnm+median": naive.median(mixed),
        "nnm": mixed.mean(axis=0),
    }.items():
        found = aggregate(rule, updates, n_byzantine=f).update
        assert relative_error(found, expected) < 1e-5, rule
    scores = naive.krum_scores(mixed, f)
    krum = aggregate("nnm+krum", updates, n_byzantine=f).update
    chosen = int(np.argmin([naive.squared_distance(krum, row) for row in mixed]))
    assert naive.squared_distance(krum, mixed[chosen]) < 1e-9
    assert scores[chosen] == pytest.approx(min(scores), rel=1e-4)


def test_liars_do_not_get_into_honest_rows() -> None:
    updates = np.vstack([np.ones((5, 2)), np.full((4, 2), 1e30)]).astype(np.float32)
    mixed = build_rule("nnm").mix(updates, n_byzantine=4)
    np.testing.assert_array_equal(mixed[:5], 1.0)
