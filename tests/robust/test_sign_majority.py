"""The sign majority by hand and against a loop."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, sample


def test_by_hand() -> None:
    """Two of three point up: by the median length 2. Two point down. Without a majority: stay."""
    updates = np.array([[1, -4, 0], [2, -2, 5], [-9, 7, -5]], dtype=np.float32)
    found = aggregate("sign_majority", updates, n_byzantine=1)
    assert found.update.tolist() == [2.0, -4.0, 0.0]
    assert found.weights.tolist() == pytest.approx([2 / 3, 2 / 3, 0.0])


def test_a_given_length_by_hand() -> None:
    updates = np.array([[1, -4], [2, -2], [-9, 7]], dtype=np.float32)
    assert aggregate("sign_majority(length=0.5)", updates).update.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(2, 5), (3, 1), (10, 40), (25, 7)])
def test_a_loop_agrees(kind: str, n: int, d: int) -> None:
    updates = sample(kind, n, d, 0)
    found = aggregate("sign_majority", updates).update
    np.testing.assert_allclose(found, naive.sign_majority(updates), rtol=1e-6)


def test_a_minority_cannot_turn_a_unanimous_sign() -> None:
    updates = np.vstack([np.full((4, 2), 0.1), np.full((3, 2), -3e38)]).astype(np.float32)
    assert (aggregate("sign_majority", updates, n_byzantine=3).update > 0.0).all()
    assert (aggregate("sign_majority", updates, n_byzantine=3).weights[4:] == 0.0).all()


@pytest.mark.parametrize("length", [0.0, -1.0, np.inf, np.nan, "1", True])
def test_a_length_is_positive(length: object) -> None:
    with pytest.raises(ValueError, match="sign_majority: length must be positive and finite, got"):
        build_rule("sign_majority", length=length)
