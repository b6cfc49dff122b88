"""FoolsGold by hand, against a version on the rows themselves, and over rounds."""

import numpy as np
import pytest

from fedtrade.robust import aggregate, build_rule
from tests.robust import naive
from tests.robust.samples import relative_error, sample


def _rows(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_clones_count_for_nothing_by_hand() -> None:
    """Two are the same; the other two are at right angles to them and to each other."""
    found = aggregate("foolsgold", _rows([3, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 2]))
    assert found.weights.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert found.update.tolist() == [0.0, 0.5, 1.0]


def test_all_at_right_angles_count_equally_by_hand() -> None:
    found = aggregate("foolsgold", _rows([6, 0, 0], [0, 3, 0], [0, 0, 3]))
    np.testing.assert_allclose(found.update, [2.0, 1.0, 1.0])


def test_all_alike_move_nothing_whatever_the_rounding() -> None:
    """The cosine of a row with itself comes out above or below one by chance."""
    for seed in range(50):
        row = np.random.default_rng(seed).normal(size=7).astype(np.float32)
        assert not aggregate("foolsgold", np.tile(row, (6, 1))).weights.any()
        nearly = np.outer(np.linspace(1.0, 3.0, 5), row).astype(np.float32)
        assert not aggregate("foolsgold", nearly).weights.any()


def test_who_points_away_from_clones_keeps_full_weight() -> None:
    """Two clones, and one whose cosine with them is -0.8: it is like nobody."""
    found = aggregate("foolsgold", _rows([1, 0], [1, 0], [-4, 3]))
    assert found.weights.tolist() == [0.0, 0.0, 1.0]
    between = aggregate("foolsgold", _rows([1, 0, 0], [3, 4, 0], [-4, -3, 0], [0, 0, 1]))
    assert between.weights[2] == between.weights[3] == between.weights.max()


def _spread_out(n: int, d: int, seed: int) -> np.ndarray:
    """Alike, with two that are nearly clones."""
    rng = np.random.default_rng(seed)
    updates = rng.normal(size=(n, d)) + rng.normal(size=d)
    updates[1] = updates[0] + 0.05 * rng.normal(size=d)
    return updates.astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(3, 4), (10, 6), (25, 40)])
@pytest.mark.parametrize("confidence", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_loop_agrees(n: int, d: int, confidence: float, seed: int) -> None:
    updates = _spread_out(n, d, seed)
    found = aggregate("foolsgold", updates, confidence=confidence)
    expected = naive.foolsgold_weights(updates, confidence)
    np.testing.assert_allclose(found.weights, expected, atol=2e-4)
    assert relative_error(found.update, expected @ updates.astype(np.float64)) < 1e-3


def test_over_rounds_it_looks_at_the_sums_of_each_client() -> None:
    """Clients are known by their ids, in any order; some are away, and new ones come."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=8)
    rule = build_rule("foolsgold")
    rounds = [[11, 12, 13, 14], [14, 12, 11], [15, 13, 12, 14, 11], [12, 13]]
    history: dict[int, np.ndarray] = {}
    state = None
    for ids in rounds:
        updates = (common + rng.normal(size=(len(ids), 8))).astype(np.float32)
        found = rule(updates, state=state, client_ids=ids)
        state = found.state
        for client, update in zip(ids, updates, strict=True):
            history[client] = history.get(client, 0.0) + update.astype(np.float64)
        expected = naive.foolsgold_weights(np.array([history[client] for client in ids]))
        np.testing.assert_allclose(found.weights, expected, atol=1e-4)
        assert state is not None
        assert set(state.client_ids) == set(history)
        assert state.history is not None
        for client, total in zip(state.client_ids, state.history, strict=True):
            np.testing.assert_allclose(total, history[client], rtol=1e-4, atol=1e-5)


def test_clones_that_hide_in_noise_are_found_over_rounds() -> None:
    """Each round their common direction is a third of their length; it adds up, noise does not."""
    rng = np.random.default_rng(1)
    direction, state, rule = rng.normal(size=60), None, build_rule("foolsgold")
    for _ in range(40):
        updates = 3.0 * rng.normal(size=(12, 60))
        updates[:4] += direction
        updates[4:] += 2.0 * np.eye(60)[4:12] * 10.0
        found = rule(updates.astype(np.float32), state=state)
        state = found.state
    assert found.weights[:4].max() < found.weights[4:].min()


def test_absurd_rows_over_rounds_leave_the_sums_finite() -> None:
    updates = sample("random", 6, 4, 0)
    updates[0], updates[1] = 3e38, -3e38
    state, rule = None, build_rule("foolsgold")
    for _ in range(4):
        found = rule(updates, state=state)
        state = found.state
        assert state is not None
        assert np.isfinite(state.history).all()
        assert np.isfinite(found.weights).all()
        assert np.isfinite(found.update).all()


def test_rows_of_zeros_are_like_nobody() -> None:
    found = aggregate("foolsgold", _rows([0, 0], [1, 0], [0, 1]))
    np.testing.assert_allclose(found.weights, 1.0 / 3.0)


def test_other_clients_without_ids_are_refused() -> None:
    """Row numbers do not say who is who when another number of clients comes."""
    state = aggregate("foolsgold", sample("random", 4, 3, 0)).state
    with pytest.raises(ValueError, match="foolsgold: 3 rows cannot be told apart from the 4 of"):
        aggregate("foolsgold", sample("random", 3, 3, 0), state=state)


def test_a_state_of_other_shape_is_refused() -> None:
    state = aggregate("foolsgold", sample("random", 4, 3, 0)).state
    with pytest.raises(ValueError, match=r"foolsgold: the state is of 3 parameters, .* have 5"):
        aggregate("foolsgold", sample("random", 4, 5, 0), state=state)


def test_it_stands_alone() -> None:
    with pytest.raises(ValueError, match=r"nnm\+foolsgold: foolsgold looks at all .* stands alone"):
        build_rule("nnm+foolsgold")


@pytest.mark.parametrize("confidence", [0.0, -1.0, np.nan, np.inf, "1"])
def test_confidence_is_positive(confidence: object) -> None:
    with pytest.raises(ValueError, match="foolsgold: confidence must be positive and finite, got"):
        build_rule("foolsgold", confidence=confidence)
