"""Bulyan by hand and against choosing by Krum from nothing each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.robust import aggregate
from fedtrade.robust.bulyan import BulyanSelection
from fedtrade.robust.gram import Gram
from fedtrade.robust.rows import Rows
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def _selected(updates: np.ndarray, f: int) -> list[int]:
    gram = Gram.of(Rows(updates), np.ones(len(updates)), f)
    mixing, _ = BulyanSelection()(gram, None, np.random.default_rng(0))
    assert set(np.unique(mixing)) <= {0.0, 1.0}
    assert (mixing.sum(axis=1) == 1.0).all()
    return mixing.argmax(axis=1).tolist()


def test_by_hand() -> None:
    """n = 7, f = 1: five are chosen, of which the three nearest to the median count.

    Of 0, 1, 2, 3, 4, 50 and 900 the last two are never the best among those left; the median of
    the others is 2, the mean of 1, 2 and 3 too.
    """
    updates = np.array([0, 1, 2, 3, 4, 50, 900], dtype=np.float32)[:, None]
    found = aggregate("bulyan", updates, n_byzantine=1)
    assert found.update.tolist() == [2.0]
    assert found.weights.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_scores_are_taken_anew_without_those_chosen() -> None:
    """n = 7, f = 1: after 2, 1 and 3, by one neighbour among 0, 4, 30 and 30.5: 30, then 0.

    One shot would take 0 to 4, which have the best scores at the start.
    """
    updates = np.array([0, 1, 2, 3, 4, 30, 30.5], dtype=np.float32)[:, None]
    assert _selected(updates, 1) == [2, 1, 3, 5, 0]
    assert naive.bulyan_selection(updates, 1) == [2, 1, 3, 5, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "f"), [(3, 2, 0), (7, 1, 1), (8, 30, 1), (15, 5, 3), (20, 12, 4), (30, 3, 2)]
)
def test_choosing_from_nothing_agrees(kind: str, n: int, d: int, f: int) -> None:
    updates = sample(kind, n, d, f)
    expected = naive.bulyan_selection(updates, f)
    found = _selected(updates, f)
    # The last choices are made by one neighbour, and the two of a pair have the same score.
    n_sure = n - 2 * f if f > 2 else n - f - 3
    assert found[:n_sure] == expected[:n_sure]
    if f > 2:
        result = aggregate("bulyan", updates, n_byzantine=f)
        assert relative_error(result.update, naive.bulyan(updates, f)) < 1e-5


@given(st.integers(0, 10_000), st.sampled_from([1e3, 1e8, 1e20, 1e38]))
def test_absurd_rows_do_not_blur_the_scores(seed: int, size: float) -> None:
    """Their distances overflow single precision, and drown others where they are subtracted."""
    rng = np.random.default_rng(seed)
    updates = rng.normal(size=(15, 4)).astype(np.float32)
    liars = rng.choice(15, 3, replace=False)
    updates[liars] = np.float32(size) * rng.uniform(-1.0, 1.0, (3, 4)).astype(np.float32)
    found = _selected(updates, 3)
    assert len(set(found)) == 9
    assert found[:8] == naive.bulyan_selection(updates, 3)[:8]
    aggregate_norm = np.linalg.norm(aggregate("bulyan", updates, n_byzantine=3).update)
    assert aggregate_norm < 10.0


def test_rows_that_are_all_absurd_are_each_chosen_once() -> None:
    updates = (1e30 * np.arange(-3, 4, dtype=np.float64)).astype(np.float32)[:, None]
    assert len(set(_selected(updates, 1))) == 5


def test_equal_rows_are_each_chosen_once() -> None:
    assert sorted(_selected(np.ones((11, 2), dtype=np.float32), 2)) == list(range(7))


def test_one_liar_too_many_is_refused() -> None:
    updates = sample("random", 10, 2, 2)
    with pytest.raises(
        ValueError, match=r"bulyan: bulyan_selection needs n >= 4f \+ 3 .*n=10, f=2"
    ):
        aggregate("bulyan", updates, n_byzantine=2)
