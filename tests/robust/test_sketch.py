"""The random projection: its error, its seeds, and rules behind it."""

import numpy as np
import pytest

from fedtrade.robust import Sketch, aggregate, build_rule
from tests.robust.samples import sample


def _distances(rows: np.ndarray) -> np.ndarray:
    gaps = rows[:, None].astype(np.float64) - rows
    return (gaps**2).sum(axis=-1)[np.triu_indices(len(rows), 1)]


@pytest.mark.parametrize("size", [64, 256])
def test_distances_are_right_on_average_with_the_deviation_it_states(size: int) -> None:
    """Over 200 seeds: the mean within four standard errors, the deviation at most sqrt(2 / m)."""
    rows = sample("heterogeneous", 5, 300, 0)
    exact = _distances(rows)
    relative = np.array(
        [_distances(Sketch(size, seed).project([rows])) / exact - 1.0 for seed in range(200)]
    )
    bound = np.sqrt(2.0 / size)
    assert np.abs(relative.mean(axis=0)).max() < 4.0 * bound / np.sqrt(200)
    deviation = relative.std(axis=0)
    assert deviation.max() < bound * 1.15  # four standard errors of a deviation of 200
    assert deviation.mean() > bound * 0.7


def test_one_coordinate_only_reaches_no_error() -> None:
    """Signs keep the length of a row with one coordinate exactly."""
    rows = np.array([[0, 3.0, 0], [0, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(_distances(Sketch(50, 1).project([rows])), 9.0, rtol=1e-6)


def test_all_are_within_the_share_that_the_size_promises() -> None:
    """size = 4 log(n^2 / p) / (e^2 - 2 e^3 / 3) for n = 30, e = 0.5, p = 0.01."""
    rows = sample("random", 30, 400, 0)
    size = int(np.ceil(4 * np.log(30**2 / 0.01) / (0.5**2 - 2 * 0.5**3 / 3)))
    for seed in range(5):
        ratio = _distances(Sketch(size, seed).project([rows])) / _distances(rows)
        assert np.abs(ratio - 1.0).max() < 0.5


def test_blocks_make_no_difference() -> None:
    """As long as the first of them end where eight signs are drawn at a time."""
    rows = sample("random", 6, 64, 0)
    whole = Sketch(32, 7).project([rows])
    parts = Sketch(32, 7).project([rows[:, :16], rows[:, 16:]])
    assert whole.dtype == np.float32
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_seeds_differ() -> None:
    rows = sample("random", 6, 64, 0)
    np.testing.assert_array_equal(Sketch(32, 7).project([rows]), Sketch(32, 7).project([rows]))
    assert not np.allclose(Sketch(32, 7).project([rows]), Sketch(32, 8).project([rows]))


def test_nothing_to_project_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to project"):
        Sketch(8, 0).project([])


@pytest.mark.parametrize("common", [0.0, 300.0])
@pytest.mark.parametrize("name", ["krum", "multi_krum", "bulyan", "minimum_diameter"])
def test_planted_outliers_are_excluded(name: str, common: float) -> None:
    """Twice as far from the others as they are from each other; also far from the origin."""
    updates = sample("random", 40, 2000, 0)
    liars = np.array([3, 11, 30, 39])
    updates[liars] *= 2.0
    updates += np.float32(common)
    for seed in range(2):
        found = aggregate(name, updates, n_byzantine=4, sketch=256, rng=seed)
        assert not found.weights[liars].any()
    assert found.weights.sum() >= 1.0 - 1e-6


def test_the_rules_themselves_stay_exact() -> None:
    """Only the choice is made through the sketch: the update is the mean of whole rows."""
    updates = sample("random", 20, 500, 0)
    found = aggregate("multi_krum", updates, n_byzantine=4, sketch=16, rng=0)
    np.testing.assert_allclose(found.update, found.weights @ updates, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["geometric_median", "centered_clipping", "nnm+trimmed_mean"])
def test_results_are_near_the_exact_ones(name: str) -> None:
    updates = sample("heterogeneous", 25, 3000, 0)
    exact = aggregate(name, updates, n_byzantine=5).update
    found = aggregate(name, updates, n_byzantine=5, sketch=1024, rng=0).update
    spread = np.median(np.linalg.norm(updates - exact, axis=1))
    assert np.linalg.norm(found - exact) < 0.1 * spread


def test_the_generator_draws_the_signs() -> None:
    updates = sample("random", 30, 200, 0)
    rule = build_rule("krum", sketch=4)
    chosen = {int(rule(updates, rng=seed).weights.argmax()) for seed in range(20)}
    assert len(chosen) > 3
    again = {int(rule(updates, rng=np.random.default_rng(5)).weights.argmax()) for _ in range(3)}
    assert len(again) == 1
