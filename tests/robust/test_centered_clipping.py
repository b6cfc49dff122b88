"""Centred clipping by hand, over rounds, and against a version on the rows themselves."""

import numpy as np
import pytest

from fedtrade.robust import RuleState, aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_by_hand() -> None:
    """From 0 with radius 2: (1 + 2 - 2) / 3."""
    found = aggregate("centered_clipping(radius=2, n_iterations=1)", _column(1, 8, -9))
    assert found.update.tolist() == pytest.approx([1.0 / 3.0])
    assert found.weights.tolist() == pytest.approx([1 / 3, 2 / 8 / 3, 2 / 9 / 3])
    assert found.state is not None
    np.testing.assert_array_equal(found.state.previous, found.update)


def test_two_iterations_by_hand() -> None:
    """With radius 3 from 0: (3 + 3 + 3) / 3 = 3, and from 3: 3 + (1 + 3 + 3) / 3."""
    rule = build_rule("centered_clipping(radius=3, n_iterations=2)")
    assert rule(_column(4, 9, 60)).update.tolist() == pytest.approx([16.0 / 3.0])


def test_the_median_distance_is_the_radius_by_itself() -> None:
    """From 0 the distances 1, 8 and 9 have the median 8: (1 + 8 - 8) / 3."""
    found = aggregate("centered_clipping(n_iterations=1)", _column(1, 8, -9))
    assert found.update.tolist() == pytest.approx([1.0 / 3.0])


def test_the_next_round_starts_where_this_one_ended() -> None:
    """With radius 1: 0 -> 1 -> 2, and an anchor in place of the state: 9 -> 8."""
    rule = build_rule("centered_clipping(radius=1, n_iterations=1)")
    first = rule(_column(5, 5))
    second = rule(_column(5, 5), state=first.state)
    assert (first.update.tolist(), second.update.tolist()) == ([1.0], [2.0])
    previous = np.array([9.0], dtype=np.float32)
    assert rule(_column(5, 5), anchors={"previous": previous}).update.tolist() == [8.0]
    assert rule(
        _column(5, 5), anchors={"previous": previous}, state=first.state
    ).update.tolist() == [8.0]


def test_rows_at_the_previous_aggregate_keep_it() -> None:
    previous = np.array([5.0], dtype=np.float32)
    found = aggregate("centered_clipping", _column(5, 5, 5, 900), anchors={"previous": previous})
    assert found.update.tolist() == [5.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "f"), [(3, 1, 1), (12, 40, 3), (150, 5, 40)])
@pytest.mark.parametrize(("radius", "n_iterations"), [(None, 1), (None, 3), (0.5, 4), (1e6, 2)])
def test_a_loop_agrees(
    kind: str, n: int, d: int, f: int, radius: float | None, n_iterations: int
) -> None:
    updates = sample(kind, n, d, f)
    rng = np.random.default_rng(n)
    previous = rng.normal(size=d).astype(np.float32)
    weights = rng.uniform(0.5, 2.0, n)
    found = aggregate(
        "centered_clipping",
        updates,
        n_byzantine=f,
        weights=weights,
        anchors={"previous": previous},
        radius=radius,
        n_iterations=n_iterations,
    )
    expected = naive.centered_clipping(updates, previous, radius, n_iterations, weights)
    assert relative_error(found.update, expected) < 1e-5


def test_no_client_moves_it_by_more_than_its_share_of_the_radius() -> None:
    updates = sample("random", 10, 30, 0)
    moved = updates.copy()
    moved[0] = 1e20
    rule = build_rule("centered_clipping(radius=0.7, n_iterations=1)")
    difference = rule(moved).update - rule(updates).update
    assert np.linalg.norm(difference) <= 2 * 0.7 / 10 * 1.001


def test_a_state_of_other_shape_is_refused() -> None:
    state = RuleState(previous=np.zeros(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"centered_clipping: the anchor 'previous' .* \(1,\)"):
        aggregate("centered_clipping", _column(1, 2, 3), state=state)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf, "1", True])
def test_a_radius_is_positive(radius: object) -> None:
    with pytest.raises(ValueError, match="centered_clipping: radius must be positive and finite"):
        build_rule("centered_clipping", radius=radius)


@pytest.mark.parametrize("n_iterations", [0, 1.5])
def test_there_is_at_least_one_iteration(n_iterations: float) -> None:
    with pytest.raises(ValueError, match="centered_clipping: n_iterations must be a whole number"):
        build_rule("centered_clipping", n_iterations=n_iterations)
