"""The Gram matrix: distances, norms and mixtures by hand and against the rows themselves."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fedtrade.robust import Gram, Sketch
from fedtrade.robust import gram as module
from fedtrade.robust.rows import Rows
from tests.robust import naive
from tests.robust.samples import sample


def _by_hand() -> Gram:
    """Of (3, 0) and (0, 4), the anchor (0, 1), and the origin."""
    rows = np.array([[3, 0], [0, 4], [0, 1], [0, 0]], dtype=np.float64)
    return Gram(rows @ rows.T, np.array([1.0, 3.0]), 0, ("root",))


def test_what_it_knows_by_hand() -> None:
    gram = _by_hand()
    assert (gram.n_clients, gram.n_rows, gram.row_of("root")) == (2, 3, 2)
    assert gram.shares.tolist() == [0.25, 0.75]
    assert gram.norms().tolist() == [3.0, 4.0]
    assert gram.squared_distances().tolist() == [[0.0, 25.0], [25.0, 0.0]]
    assert gram.about_origin().tolist() == [[9, 0, 0], [0, 16, 4], [0, 4, 1]]


def test_distances_to_mixtures_by_hand() -> None:
    """To the anchor; to half of (3, 0), the rest of which is the origin's; to the origin."""
    gram = _by_hand()
    np.testing.assert_allclose(gram.distances_to(np.array([0, 0, 1.0])), [10**0.5, 3.0])
    np.testing.assert_allclose(gram.distances_to(np.array([0.5, 0, 0])), [1.5, 18.25**0.5])
    np.testing.assert_allclose(gram.distances_to(np.zeros(3)), [3.0, 4.0])


def test_mixtures_by_hand() -> None:
    """(3, 0) / 3 = (1, 0), and both halves: (1.5, 2). Anchor and origin stay."""
    mixed = _by_hand().mixed(np.array([[1 / 3, 0, 0], [0.5, 0.5, 0]]))
    assert (mixed.n_clients, mixed.n_rows, mixed.anchors) == (2, 3, ("root",))
    np.testing.assert_allclose(mixed.norms(), [1.0, 2.5])
    np.testing.assert_allclose(mixed.about_origin()[:, 2], [0.0, 2.0, 1.0], atol=1e-12)
    assert mixed.weights.tolist() == [1.0, 4.0]
    equal = _by_hand().mixed(np.array([[1 / 3, 0, 0], [0.5, 0.5, 0]]), has_shares=False)
    assert equal.weights.tolist() == [1.0, 1.0]


def test_mixing_has_nothing_of_anchors() -> None:
    gram = _by_hand()
    assert gram.mixing(np.array([0.2, 0.8])).tolist() == [[0.2, 0.8, 0.0]]
    assert gram.mixing(np.eye(2)).shape == (2, 3)


@pytest.mark.parametrize("common", [0.0, 3.0, 1e4])
@pytest.mark.parametrize(("n", "d"), [(5, 3), (40, 200), (130, 20)])
def test_it_does_not_matter_about_which_centre_products_are(n: int, d: int, common: float) -> None:
    """Distances, norms and mixtures as in double precision, relative to the rows' spread."""
    updates = sample("heterogeneous", n, d, 0) + np.float32(common)
    anchor = updates[0] + np.float32(0.5)
    rows = Rows(updates, anchor[None])
    looks, matrix = (Gram.of(rows, np.ones(n), 0, ("a",)) for _ in range(2))
    spread = naive.squared_distances(updates).max() ** 0.5
    assert matrix.products.shape == (n + 2, n + 2)
    np.testing.assert_allclose(
        matrix.squared_distances(), naive.squared_distances(updates), atol=1e-4 * spread**2
    )
    coefficients = np.random.default_rng(n).dirichlet(np.ones(n + 1))
    point = coefficients @ np.vstack([updates, anchor]).astype(np.float64)
    expected = np.linalg.norm(updates - point, axis=1)
    for gram in (looks, matrix):
        np.testing.assert_allclose(
            gram.distances_to(coefficients), expected, atol=1e-3 * (spread + 1e-4 * common)
        )
        norms = np.linalg.norm(updates.astype(np.float64), axis=1)
        np.testing.assert_allclose(gram.norms(), norms, rtol=1e-4)
    exact = np.vstack([updates, anchor]).astype(np.float64)
    largest = np.linalg.norm(exact, axis=1).max() ** 2
    np.testing.assert_allclose(matrix.about_origin(), exact @ exact.T, atol=1e-5 * largest)


def test_some_clients_distances_are_rows_of_all() -> None:
    updates = sample("random", 50, 9, 0)
    gram = Gram.of(Rows(updates), np.ones(50))
    whole = gram.squared_distances()
    assert whole.dtype == np.float32
    for part in (slice(0, 1), slice(7, 20), slice(49, 50), slice(0, 50)):
        np.testing.assert_array_equal(gram.squared_distances(part), whole[part])
    whole[:] = 0.0
    assert gram.squared_distances().any()


@pytest.mark.parametrize("size", [1e15, 1e18, 1e20, 1e30, 3e38])
def test_absurd_rows_blur_nobody_elses_distances(size: float) -> None:
    updates = sample("random", 9, 5, 0)
    updates[:2] = size
    updates[1] *= -1.0
    gram = Gram.of(Rows(updates), np.ones(9))
    found, exact = gram.squared_distances(), naive.squared_distances(updates)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[2:, 2:], exact[2:, 2:], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[:2], exact[:2], rtol=1e-4)


def test_liars_cannot_stand_where_the_middle_is_looked_for() -> None:
    """The probes are evenly spread, which is known; where all are liars, all rows are looked at.

    Otherwise a liar's row would become the centre, far from which honest rows could not be told
    apart.
    """
    n = 301
    rng = np.random.default_rng(0)
    probes = np.unique(np.linspace(0, n - 1, module.N_PROBES).astype(int))
    is_liar = np.isin(np.arange(n), probes)
    for far, common in ((1e4, 0.0), (-1e6, 0.0), (1e4, 1e4), (0.0, 1e4)):
        updates = rng.normal(size=(n, 8)) + common
        updates[is_liar] = far + 0.01 * rng.normal(size=(len(probes), 8))
        updates = updates.astype(np.float32)
        found = Gram.of(Rows(updates), np.ones(n)).squared_distances()[~is_liar][:, ~is_liar]
        exact = cdist(*[updates[~is_liar].astype(np.float64)] * 2, "sqeuclidean")
        assert np.abs(found - exact).max() < 1e-2 * np.median(exact)


def test_liars_cannot_pull_the_centre_away() -> None:
    """Their rows cancel the others' mean, which would be the centre if means were subtracted."""
    updates = sample("random", 20, 50, 0) + np.float32(1e4)
    updates[:9] = -updates[9:].sum(axis=0) / 9.0
    found = Gram.of(Rows(updates), np.ones(20)).squared_distances()[9:, 9:]
    exact = naive.squared_distances(updates[9:])
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3)


def test_equal_rows_far_from_the_origin_have_no_distance() -> None:
    updates = np.full((30, 40), 1234.567, dtype=np.float32)
    gram = Gram.of(Rows(updates), np.ones(30))
    assert not gram.squared_distances().any()
    np.testing.assert_allclose(gram.norms(), 1234.567 * 40**0.5, rtol=1e-6)


def test_a_sketch_takes_the_place_of_the_matrix() -> None:
    updates = sample("random", 12, 3000, 0) + np.float32(20.0)
    rows = Rows(updates)
    gram = Gram.of(rows, np.ones(12), sketch=Sketch(512, 3))
    ratio = gram.squared_distances() / np.where(
        np.eye(12) > 0, 1.0, naive.squared_distances(updates)
    )
    off = ratio[~np.eye(12, dtype=bool)]
    assert 0.6 < off.min() < 1.0 < off.max() < 1.4


def test_the_matrix_is_made_only_if_it_is_asked_for() -> None:
    calls = []

    def products() -> np.ndarray:
        calls.append(1)
        return np.eye(4)

    gram = Gram(products, np.ones(3))
    mixed = gram.mixed(np.eye(3))
    assert not calls
    mixed.squared_distances()
    gram.squared_distances()
    assert len(calls) == 1


def test_what_it_gives_can_be_overwritten() -> None:
    gram = _by_hand()
    before = gram.products.copy()
    gram.squared_distances()[:] = 9.0
    gram.about_origin()[:] = 9.0
    np.testing.assert_array_equal(gram.products, before)
    assert gram.squared_distances().tolist() == [[0.0, 25.0], [25.0, 0.0]]
