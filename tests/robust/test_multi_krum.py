"""Multi-Krum by hand, against a loop, and its options."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_by_hand() -> None:
    """Without the worst score, that of 100, the mean of 0, 1, 3 and 8."""
    found = aggregate("multi_krum", _column(0, 1, 3, 8, 100), n_byzantine=1)
    assert found.update.tolist() == [3.0]
    assert found.weights.tolist() == [0.25, 0.25, 0.25, 0.25, 0.0]


def test_two_selected_by_hand() -> None:
    """1 (1 + 4 = 5) and 0 (1 + 9 = 10) have the best scores."""
    found = aggregate("multi_krum", _column(0, 1, 3, 8, 100), n_byzantine=1, n_selected=2)
    assert found.update.tolist() == [0.5]


def test_weights_count_among_those_selected() -> None:
    """(0 + 1 + 3 + 4 * 8) / 7, whatever the one left out weighs."""
    updates = _column(0, 1, 3, 8, 100)
    found = aggregate("multi_krum", updates, n_byzantine=1, weights=[1, 1, 1, 4, 999])
    assert found.update.tolist() == pytest.approx([36.0 / 7.0])


def test_one_selected_is_krum() -> None:
    updates = sample("heterogeneous", 11, 6, 3)
    one = aggregate("multi_krum(n_selected=1)", updates, n_byzantine=3)
    np.testing.assert_array_equal(one.weights, aggregate("krum", updates, n_byzantine=3).weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 0), (5, 4, 1), (9, 30, 3), (24, 7, 10)])
@pytest.mark.parametrize("n_selected", [None, 2])
def test_a_loop_agrees(kind: str, n: int, d: int, f: int, n_selected: int | None) -> None:
    updates = sample(kind, n, d, f)
    found = aggregate("multi_krum", updates, n_byzantine=f, n_selected=n_selected)
    chosen = naive.multi_krum(updates, f, n_selected)
    assert np.flatnonzero(found.weights).tolist() == chosen
    expected = updates[chosen].astype(np.float64).mean(axis=0)
    assert relative_error(found.update, expected) < 1e-6


def test_it_needs_as_many_as_it_selects() -> None:
    assert build_rule("multi_krum").least_clients(1) == 5
    assert build_rule("multi_krum(n_selected=9)").least_clients(1) == 10
    with pytest.raises(ValueError, match=r"multi_krum.* at least 10 rows, got n=9, f=1"):
        aggregate("multi_krum", _column(*range(9)), n_byzantine=1, n_selected=9)


def test_selecting_only_clients_of_weight_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="multi_krum: all clients that it selected have a weight"):
        aggregate(
            "multi_krum(n_selected=1)",
            _column(0, 1, 2, 50, 90),
            n_byzantine=1,
            weights=[1, 0, 1, 1, 1],
        )


@pytest.mark.parametrize("n_selected", [0, -1, 2.5, True, "3"])
def test_it_selects_a_whole_number(n_selected: object) -> None:
    with pytest.raises(ValueError, match="multi_krum: n_selected must be a whole number from 1"):
        build_rule("multi_krum", n_selected=n_selected)
