"""As many liars as a rule's bound allows, sending anything: how far do they move the result?"""

import numpy as np
import pytest

from fedtrade.robust import Aggregation, build_rule
from tests.robust import naive

N, D = 15, 8
MOST = 3.0
"""How many times the honest spread the result may be away from the honest mean."""

BOUNDS = {
    "krum": 6,
    "multi_krum": 6,
    "bulyan": 3,
    "minimum_diameter": 7,
    "geometric_median": 7,
    "monna": 7,
    "trimmed_mean": 7,
    "median": 7,
    "meamed": 7,
    "nnm+krum": 6,
    "nnm+multi_krum": 6,
    "nnm+bulyan": 3,
    "nnm+geometric_median": 7,
    "nnm+minimum_diameter": 7,
    "nnm+trimmed_mean": 7,
    "nnm+median": 7,
    "nnm+meamed": 7,
    "bucketing(2)+krum": 2,
    "bucketing(2)+geometric_median": 3,
    "bucketing(2)+nnm+trimmed_mean": 3,
    "bucketing(2)+median": 3,
    "bucketing(3)+median": 2,
    "arc+median": 7,
    "arc+krum": 6,
    "arc+nnm+geometric_median": 7,
    "norm_clipping+trimmed_mean": 7,
}
"""Rules that recognise liars, and the most of 15 that each bears."""

BOUNDED = {
    "centered_clipping": 7,
    "nnm+centered_clipping": 7,
    "norm_clipping": 7,
    "arc": 7,
    "sign_majority": 7,
    "fltrust": 10,
}
"""Rules that bound what liars do by the norms of others, so by the distance to the origin."""

SIZES = (1e3, 1e6, 1e10, 1e20, 1e30, 3e38)
PLACES = ("one", "opposite", "scattered", "cancelling", "at the mean of all", "in one coordinate")


def _lies(place: str, size: float, f: int, honest: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(f)
    lies = np.full((f, D), size, dtype=np.float64)
    if place == "opposite":
        lies[::2] *= -1.0
    elif place == "scattered":
        lies *= rng.uniform(-1.0, 1.0, (f, D))
    elif place == "cancelling":
        lies = -honest.sum(axis=0) / f + size * np.where(np.arange(f) % 2, 1.0, -1.0)[:, None]
    elif place == "at the mean of all":
        lies[0] *= (f - 1) / (N - 1)
    elif place == "in one coordinate":
        lies = np.tile(honest.mean(axis=0, dtype=np.float64), (f, 1))
        lies[:, 0] = size
    return lies.astype(np.float32)


def _honest(n: int, common: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (rng.normal(size=(n, D)) + common * rng.normal(size=D)).astype(np.float32)


def _aggregated(name: str, f: int, honest: np.ndarray, lies: np.ndarray) -> Aggregation:
    rule = build_rule(name)
    updates = np.vstack([lies, honest])[np.random.default_rng(0).permutation(N)]
    anchors = dict.fromkeys(rule.needs_anchors, honest[0])
    return rule(np.ascontiguousarray(updates), n_byzantine=f, rng=1, anchors=anchors)


def _distance(update: np.ndarray, honest: np.ndarray) -> float:
    """From the honest mean, in the largest distance of an honest row from it."""
    mean = honest.astype(np.float64).mean(axis=0)
    spread = np.linalg.norm(honest - mean, axis=1).max()
    return float(np.linalg.norm(update.astype(np.float64) - mean) / spread)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", [*BOUNDS, *BOUNDED])
def test_liars_up_to_the_bound_do_not_move_it_far(name: str, place: str) -> None:
    """Whatever the size of their lies. Weights stay finite too."""
    f = (BOUNDS | BOUNDED)[name]
    honest = _honest(N - f)
    for size in SIZES:
        found = _aggregated(name, f, honest, _lies(place, size, f, honest))
        assert _distance(found.update, honest) < MOST, size
        assert np.isfinite(found.weights).all(), size


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "name", [name for name in BOUNDS if not name.startswith(("arc", "norm_clipping"))]
)
def test_a_large_common_part_does_not_help_them(name: str, place: str) -> None:
    """All honest rows share a part of a thousand times their spread.

    Not for those that cut rows to a norm, which then is that of the common part.
    """
    f = BOUNDS[name]
    honest = _honest(N - f, 1e3)
    for size in (1e3, 1e6, 1e10, 1e20):
        found = _aggregated(name, f, honest, _lies(place, size, f, honest))
        assert _distance(found.update, honest) < MOST, size


@pytest.mark.parametrize("f", [1, 7])
def test_the_mean_has_no_defence(f: int) -> None:
    """Even one in fifteen moves it anywhere, and so does mixing alone."""
    honest = _honest(N - f)
    for size in (1e3, 1e6, 1e10):
        lies = _lies("one", size, f, honest)
        updates = np.vstack([lies, honest])
        assert _distance(build_rule("mean")(updates).update, honest) > size / 100.0
        assert _distance(build_rule("bucketing(2)")(updates, n_byzantine=1).update, honest) > 1.0


@pytest.mark.parametrize("n_clones", [2, 5, 10])
def test_foolsgold_bears_any_number_of_clones(n_clones: int) -> None:
    rng = np.random.default_rng(n_clones)
    honest = rng.normal(size=(5, 40)).astype(np.float32)
    clones = np.tile(100.0 * rng.normal(size=40), (n_clones, 1)).astype(np.float32)
    found = build_rule("foolsgold")(np.vstack([clones, honest]), n_byzantine=n_clones)
    assert not found.weights[:n_clones].any()
    assert _distance(found.update, honest) < 1.0


def test_one_more_than_the_bound_allows_does_move_them() -> None:
    """The bounds are not idle: where half of all lie, the median is theirs."""
    updates = np.vstack([np.full((8, D), 1e6), np.zeros((7, D))]).astype(np.float32)
    assert build_rule("median")(updates, n_byzantine=7).update.min() == 1e6
    assert build_rule("geometric_median")(updates, n_byzantine=7).update.min() > 1e5


# --- a large common part ------------------------------------------------------------------------

CHOICES = {
    "krum": lambda x, f: [naive.krum(x, f)],
    "multi_krum": naive.multi_krum,
}


def _far_away(n_params: int, place: str, f: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a spread of one about a common part of 1e4, and which of fifteen are honest."""
    rng = np.random.default_rng(seed)
    n = 15
    common = rng.normal(size=n_params)
    common *= 1e4 / np.linalg.norm(common)
    updates = (
        rng.normal(size=(n, n_params)) / n_params**0.5 * rng.uniform(0.5, 1.5, (n, 1)) + common
    )
    if place == "cancelling":  # the mean of all is zero
        updates[:f] = -updates[f:].sum(axis=0) / f
    elif place == "near":
        updates[:f] += 2.0 * rng.normal(size=n_params) / n_params**0.5
    elif place == "far":
        updates[:f] *= -1e6
    order = rng.permutation(n)
    return np.ascontiguousarray(updates[order].astype(np.float32)), order >= f


@pytest.mark.parametrize("place", ["none", "near", "cancelling", "far"])
@pytest.mark.parametrize("n_params", [3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_large_common_part_does_not_change_the_choice(
    place: str, n_params: int, seed: int
) -> None:
    """The same rows are chosen, or mixed, as in double precision.

    What is far away is seen in single precision: all others are equally far from a liar, and liars
    close to each other are the same. So the liars' own mixtures may differ, and one may be among
    Bulyan's last choices, as identical ones would be.
    """
    f = 3
    updates, is_honest = _far_away(n_params, place, f, seed)
    exact = updates.astype(np.float64)
    for name, chosen in CHOICES.items():
        found = build_rule(name)(updates, n_byzantine=f)
        assert np.flatnonzero(found.weights).tolist() == sorted(chosen(exact, f)), name
    mixed, expected = build_rule("nnm").mix(updates, n_byzantine=f), naive.nnm(exact, f)
    np.testing.assert_allclose(mixed[is_honest], expected[is_honest], atol=1e-2)
    kept = np.flatnonzero(build_rule("minimum_diameter")(updates, n_byzantine=f).weights).tolist()
    best = naive.diameter(exact, naive.minimum_diameter(exact, f))
    assert naive.diameter(exact, kept) == pytest.approx(best, rel=1e-4)
    bulyan = build_rule("bulyan")(updates, n_byzantine=f).update
    assert np.linalg.norm(bulyan - naive.bulyan(exact, f)) < (1.0 if place == "far" else 1e-2)


def test_without_centring_the_choice_would_be_chance() -> None:
    """Single precision on the rows as they are: what the rules must not do."""
    updates, _ = _far_away(1000, "near", 3, 0)
    products = updates @ updates.T
    squares = products.diagonal()
    drowned = squares[:, None] + squares - 2.0 * products
    exact = naive.squared_distances(updates)
    assert np.abs(drowned - exact).max() > exact.max()
