"""FLTrust by hand and against a version on the rows themselves."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def _rows(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def _fltrust(updates: np.ndarray, root: np.ndarray, **options: object) -> np.ndarray:
    return aggregate("fltrust", updates, anchors={"root": root}, **options).update


def test_by_hand() -> None:
    """Cosines with (2, 0): 1, 0 and -1. Only the first counts, cut to the root's norm."""
    found = aggregate(
        "fltrust",
        _rows([5, 0], [0, 7], [-1, 0]),
        anchors={"root": _rows([2, 0])[0]},
        n_byzantine=2,
    )
    assert found.update.tolist() == [2.0, 0.0]
    assert found.weights.tolist() == pytest.approx([0.4, 0.0, 0.0])
    assert found.state is None


def test_trust_shares_by_hand() -> None:
    """Cosines with (1, 0): 1 and 0.6. (1 * (1, 0) + 0.6 * (0.6, 0.8)) / 1.6 = (0.85, 0.3)."""
    found = _fltrust(_rows([9, 0], [3, 4]), _rows([1, 0])[0])
    np.testing.assert_allclose(found, [0.85, 0.3], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(3, 2), (12, 40), (40, 6)])
@pytest.mark.parametrize("common", [0.0, 30.0])
def test_a_loop_agrees(kind: str, n: int, d: int, common: float) -> None:
    updates = sample(kind, n, d, 1) + np.float32(common)
    root = updates.mean(axis=0) + np.float32(0.1)
    assert relative_error(_fltrust(updates, root), naive.fltrust(updates, root)) < 1e-4


@pytest.mark.parametrize("size", [1.0, 1e6, 1e20, 1e30])
def test_it_bears_all_but_one(size: float) -> None:
    """Those who point against the root have no trust; those along it no length of their own."""
    root = np.array([1, 0, 0], dtype=np.float32)
    updates = np.array([[1, 0, 0], [-1, 0, 0], [-1, 1, 0], [1, 0, 0]]) * [
        [1],
        [size],
        [size],
        [size],
    ]
    found = _fltrust(updates.astype(np.float32), root, n_byzantine=3)
    np.testing.assert_allclose(found, root, atol=1e-6)


def test_the_result_is_never_longer_than_the_root() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e12):
        updates = (rng.normal(size=(9, 5)) * scale).astype(np.float32)
        root = rng.normal(size=5).astype(np.float32)
        found = _fltrust(updates, root)
        assert np.linalg.norm(found) <= np.linalg.norm(root) * (1.0 + 1e-5)


@pytest.mark.parametrize(
    ("updates", "root"),
    [
        (_rows([-1, 0], [0, 1]), _rows([1, 0])[0]),  # nobody is trusted
        (_rows([1, 0], [0, 1]), _rows([0, 0])[0]),  # the root does not move
        (_rows([0, 0], [0, 0]), _rows([1, 0])[0]),  # no client moves
    ],
)
def test_nothing_moves_where_nobody_is_trusted(updates: np.ndarray, root: np.ndarray) -> None:
    assert _fltrust(updates, root).tolist() == [0.0, 0.0]


def test_clients_that_stay_count_for_nothing() -> None:
    assert _fltrust(_rows([0, 0], [3, 0]), _rows([1, 0])[0]).tolist() == [1.0, 0.0]


def test_without_a_root_it_is_refused() -> None:
    assert build_rule("fltrust").needs_anchors == {"root"}
    with pytest.raises(ValueError, match="fltrust needs the anchor 'root': pass anchors="):
        aggregate("fltrust", _rows([1, 0], [0, 1]))
