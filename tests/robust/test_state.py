"""What rules remember: as arrays and back, and by whom."""

from pathlib import Path

import numpy as np
import pytest

from fedtrade.robust import RuleState, build_rule
from tests.robust.samples import sample


def _through_a_file(state: RuleState, folder: Path) -> RuleState:
    path = folder / "state.npz"
    np.savez(path, **state.to_arrays())
    with np.load(path, allow_pickle=False) as arrays:
        return RuleState.from_arrays(dict(arrays))


@pytest.mark.parametrize("name", ["foolsgold", "centered_clipping", "nnm+centered_clipping"])
def test_a_rule_goes_on_from_a_file_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    rule = build_rule(name)
    ids = [2**62, 7, 3, 0, 9]
    first = rule(sample("random", 5, 4, 0, 1), client_ids=ids).state
    assert first is not None
    read = _through_a_file(first, tmp_path)
    assert read.client_ids == first.client_ids
    later = sample("random", 5, 4, 0, 2)
    found = rule(later, client_ids=ids[::-1], state=read)
    expected = rule(later, client_ids=ids[::-1], state=first)
    np.testing.assert_array_equal(found.update, expected.update)
    np.testing.assert_array_equal(found.weights, expected.weights)


def test_every_part_comes_back(tmp_path: Path) -> None:
    state = RuleState(
        previous=np.array([1.5, -2.0], dtype=np.float32),
        history=np.array([[1, 2], [3, 4]], dtype=np.float32),
        client_ids=(5, -1),
        steps={"some_step": np.array([[7.0]])},
    )
    read = _through_a_file(state, tmp_path)
    np.testing.assert_array_equal(read.previous, state.previous)
    np.testing.assert_array_equal(read.history, state.history)
    assert read.client_ids == (5, -1)
    assert list(read.steps) == ["some_step"]
    np.testing.assert_array_equal(read.steps["some_step"], [[7.0]])


def test_nothing_remembered_is_no_arrays() -> None:
    assert RuleState().to_arrays() == {}
    read = RuleState.from_arrays({})
    assert (read.previous, read.history, read.client_ids, dict(read.steps)) == (None, None, (), {})


def test_sums_by_hand() -> None:
    """a sent 1 and then 2, b is away the second time, c is new."""

    def column(*values: float) -> np.ndarray:
        return np.array(values, dtype=np.float32)[:, None]

    first = RuleState().with_history(("a", "b"), column(1, 5))
    total = first.history_with(("c", "a"), column(9, 2))
    assert total.tolist() == [[9.0], [3.0]]
    second = first.with_history(("c", "a"), total)
    assert second.client_ids == ("c", "a", "b")
    assert second.history is not None
    assert second.history.tolist() == [[9.0], [3.0], [5.0]]
    assert first.client_ids == ("a", "b")


def test_sums_stay_finite() -> None:
    huge = np.array([[3e38, -3e38]], dtype=np.float32)
    state = RuleState(history=huge, client_ids=(0,))
    total = state.history_with((0,), huge)
    assert np.isfinite(total).all()
    assert (np.sign(total) == np.sign(huge)).all()
