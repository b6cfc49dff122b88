"""Krum by hand, against a loop, and what it bears."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.robust import aggregate
from tests.robust import naive
from tests.robust.samples import KINDS, sample


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_by_hand() -> None:
    """n = 5, f = 1: two neighbours. 0: 1 + 9, 1: 1 + 4, 3: 4 + 9, 7: 16 + 36, 100: far away."""
    found = aggregate("krum", _column(0, 1, 3, 7, 100), n_byzantine=1)
    assert found.update.tolist() == [1.0]
    assert found.weights.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert found.state is None


def test_the_number_of_neighbours_is_the_papers() -> None:
    """n - f - 2: two neighbours are best at 1 (1 + 1), three at 2 (1 + 4 + 16 < 1 + 1 + 25)."""
    updates = _column(0, 1, 2, 6, 50)
    assert aggregate("krum", updates, n_byzantine=1).update.tolist() == [1.0]
    assert aggregate("krum", updates, n_byzantine=0).update.tolist() == [2.0]


def test_of_equal_scores_the_first_counts() -> None:
    """3, 2 and 1 each have two neighbours at one."""
    found = aggregate("krum", _column(4, 3, 2, 1, 0), n_byzantine=1)
    assert found.weights.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    same = aggregate("krum", _column(5, 5, 5, 5, 5), n_byzantine=1)
    assert same.weights.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 0), (5, 4, 1), (9, 30, 3), (24, 7, 10)])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    found = aggregate("krum", updates, n_byzantine=f)
    scores = naive.krum_scores(updates, f)
    chosen = int(np.argmax(found.weights))
    assert scores[chosen] == pytest.approx(min(scores), rel=1e-5)
    np.testing.assert_array_equal(found.update, updates[chosen])


@given(st.integers(0, 10_000))
def test_a_majority_at_one_place_wins(seed: int) -> None:
    """Whatever f others send, a place where n - f stand has the score zero."""
    rng = np.random.default_rng(seed)
    updates = np.ones((9, 4), dtype=np.float32)
    updates[rng.choice(9, 3, replace=False)] = rng.normal(0.0, 100.0, (3, 4))
    assert aggregate("krum", updates, n_byzantine=3).update.tolist() == [1.0] * 4


def test_one_liar_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match=r"krum: krum needs n >= 2f \+ 3 .* got n=5, f=2"):
        aggregate("krum", _column(0, 1, 2, 3, 4), n_byzantine=2)
