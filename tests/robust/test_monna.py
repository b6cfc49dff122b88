"""MoNNA by hand and against a version on the rows themselves."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def test_by_hand() -> None:
    """The own row 2 and the two nearest of three, 1 and 6: 3."""
    updates = np.array([[1.0], [6.0], [-90.0]], dtype=np.float32)
    own = np.array([2.0], dtype=np.float32)
    found = aggregate("monna", updates, n_byzantine=1, anchors={"own": own})
    assert found.update.tolist() == [3.0]
    assert found.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (12, 40, 3), (25, 7, 12)])
@pytest.mark.parametrize("common", [0.0, 1e4])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int, common: float) -> None:
    updates = sample(kind, n, d, f) + np.float32(common)
    own = np.ascontiguousarray(updates[0]) + np.float32(0.25)
    found = aggregate("monna", updates, n_byzantine=f, anchors={"own": own})
    expected = naive.monna(updates, own, f)
    assert relative_error(found.update - common, expected - common) < (1e-2 if common else 1e-6)


@pytest.mark.parametrize("size", [1e3, 1e10, 1e30])
def test_liars_far_away_do_not_count(size: float) -> None:
    updates = sample("random", 9, 4, 0)
    updates[:4] = size
    own = np.zeros(4, dtype=np.float32)
    found = aggregate("monna", updates, n_byzantine=4, anchors={"own": own})
    assert not found.weights[:4].any()


def test_without_the_own_row_it_is_refused() -> None:
    assert build_rule("monna").needs_anchors == {"own"}
    with pytest.raises(ValueError, match="monna needs the anchor 'own'"):
        aggregate("monna", sample("random", 3, 2, 0))
