"""ByzFL's rules, where they mean the same, and where they do not."""

from types import ModuleType

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from simulations.bench.byzfl_peer import byzfl_module
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample

SHAPES = [(5, 4, 1), (12, 30, 3), (25, 6, 7)]
grid = pytest.mark.parametrize(
    ("kind", "shape"), [(kind, shape) for kind in KINDS for shape in SHAPES]
)


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    module = byzfl_module("aggregators.aggregators")
    if module is None:
        pytest.skip("ByzFL is not installed")
    return module


@pytest.fixture(scope="module")
def mixers() -> ModuleType:
    module = byzfl_module("aggregators.preaggregators")
    if module is None:
        pytest.skip("ByzFL is not installed")
    return module


@grid
def test_byzfl_agrees(rules: ModuleType, kind: str, shape: tuple[int, int, int]) -> None:
    """Average, trimmed mean, median of arrays, MeaMed, MoNNA with the own row among n."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    exact = updates.astype(np.float64)
    theirs = {
        "mean": rules.Average()(exact),
        "trimmed_mean": rules.TrMean(f)(exact),
        "median": rules.Median()(exact),
        "meamed": rules.Meamed(f)(exact),
    }
    for name, expected in theirs.items():
        found = aggregate(name, updates, n_byzantine=0 if name == "mean" else f).update
        assert relative_error(found, expected) < 1e-5, name
    if n - 1 >= 2 * f + 1:
        own, others = updates[2].copy(), np.delete(updates, 2, axis=0)
        found = aggregate("monna", others, n_byzantine=f, anchors={"own": own}).update
        assert relative_error(found, rules.MoNNA(f, 2)(exact)) < 1e-5


@grid
@pytest.mark.parametrize(("n_iterations", "radius"), [(1, 100.0), (4, 0.5)])
def test_byzfls_centred_clipping_agrees_over_rounds(
    rules: ModuleType,
    kind: str,
    shape: tuple[int, int, int],
    n_iterations: int,
    radius: float,
) -> None:
    n, d, f = shape
    peer = rules.CenteredClipping(L=n_iterations, tau=radius)
    rule = build_rule("centered_clipping", radius=radius, n_iterations=n_iterations)
    state = None
    for seed in range(3):
        updates = sample(kind, n, d, f, seed)
        found = rule(updates, n_byzantine=f, state=state)
        state = found.state
        assert relative_error(found.update, peer(updates.astype(np.float64))) < 1e-5


@grid
def test_byzfls_geometric_median_agrees_in_the_limit(
    rules: ModuleType, kind: str, shape: tuple[int, int, int]
) -> None:
    n, d, f = shape
    updates = sample(kind, n, d, f)
    expected = rules.GeometricMedian(nu=1e-9, T=3000)(updates.astype(np.float64))
    found = aggregate("geometric_median", updates, n_byzantine=f, tolerance=1e-7).update
    assert relative_error(found, expected) < 1e-3
    total = naive.sum_of_distances(updates, expected)
    assert naive.sum_of_distances(updates, found) <= total * (1.0 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 4, 2), (9, 30, 3)])
def test_byzfls_minimum_diameter_is_as_narrow(
    rules: ModuleType, kind: str, shape: tuple[int, int, int]
) -> None:
    n, d, f = shape
    updates = sample(kind, n, d, f)
    found = aggregate("minimum_diameter", updates, n_byzantine=f)
    kept = np.flatnonzero(found.weights).tolist()
    best = naive.diameter(updates, naive.minimum_diameter(updates, f))
    assert naive.diameter(updates, kept) == pytest.approx(best, rel=1e-5)
    if kind == "attacked":  # one subset alone is the narrowest
        expected = rules.MDA(f)(updates.astype(np.float64))
        assert relative_error(found.update, expected) < 1e-5


@grid
def test_byzfls_mixers_agree(mixers: ModuleType, kind: str, shape: tuple[int, int, int]) -> None:
    """ByzFL's clips in place, and rounds 2 f (n - f) / n in floating point; here that is exact."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    exact = updates.astype(np.float64)
    assert (
        relative_error(build_rule("nnm").mix(updates, n_byzantine=f), mixers.NNM(f)(exact)) < 1e-5
    )
    clipped = mixers.ARC(f)(exact.copy())
    assert relative_error(build_rule("arc").mix(updates, n_byzantine=f), clipped) < 1e-5
    alone = build_rule("bucketing(1)").mix(updates, rng=0)
    np.testing.assert_allclose(
        np.sort(alone, axis=0), np.sort(mixers.Bucketing(1)(exact), axis=0), rtol=1e-6
    )
    cut = mixers.Clipping(1.5)(exact.copy())
    assert relative_error(build_rule("norm_clipping(radius=1.5)").mix(updates), cut) < 1e-5
    both = build_rule("arc+nnm").mix(updates, n_byzantine=f)
    assert relative_error(both, mixers.NNM(f)(clipped)) < 1e-5


@grid
def test_byzfls_krum_counts_one_neighbour_more(
    rules: ModuleType, kind: str, shape: tuple[int, int, int]
) -> None:
    """n - f - 1 instead of n - f - 2: with f + 1 it is ours with f."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    found = aggregate("krum", updates, n_byzantine=f).update
    np.testing.assert_allclose(found, rules.Krum(f + 1)(updates.astype(np.float64)), rtol=1e-6)


def test_byzfls_krum_differs_with_the_same_f(rules: ModuleType) -> None:
    """Two neighbours are best at 1, three at 2 (see test_krum)."""
    updates = np.array([0, 1, 2, 6, 50], dtype=np.float32)[:, None]
    assert aggregate("krum", updates, n_byzantine=1).update.tolist() == [1.0]
    assert rules.Krum(1)(updates.astype(np.float64)).tolist() == [2.0]


@grid
def test_byzfls_multi_krum_differs_by_that_neighbour(
    rules: ModuleType, kind: str, shape: tuple[int, int, int]
) -> None:
    """With f + 1 it also averages one row less."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    found = aggregate("multi_krum", updates, n_byzantine=f, n_selected=n - f - 1).update
    assert relative_error(found, rules.MultiKrum(f + 1)(updates.astype(np.float64))) < 1e-5
