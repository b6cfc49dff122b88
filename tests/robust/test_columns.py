"""Whose coordinates were kept: weights of coordinate rules against counts, and through mixers."""

from collections.abc import Callable

import numpy as np
import pytest

from fedtrade.robust import Aggregation, aggregate, build_rule, columns
from tests.robust import naive

Kept = Callable[[np.ndarray, int], np.ndarray]


def _trimmed(values: np.ndarray, f: int) -> np.ndarray:
    ordered = sorted(values)
    return (values >= ordered[f]) & (values <= ordered[len(values) - f - 1])


def _in_the_middle(values: np.ndarray, f: int) -> np.ndarray:
    ordered, n = sorted(values), len(values)
    return (values >= ordered[(n - 1) // 2]) & (values <= ordered[n // 2])


def _near_the_median(values: np.ndarray, f: int) -> np.ndarray:
    away = np.abs(values - np.median(values))
    return away <= sorted(away)[len(values) - f - 1]


def _in_the_majority(values: np.ndarray, f: int) -> np.ndarray:
    vote = np.sign(np.sign(values).sum())
    return (np.sign(values) == vote) & (vote != 0.0)


KEPT: dict[str, Kept] = {
    "trimmed_mean": _trimmed,
    "median": _in_the_middle,
    "meamed": _near_the_median,
    "sign_majority": _in_the_majority,
}


def _counted(kept: Kept, rows: np.ndarray, f: int) -> np.ndarray:
    return np.mean([kept(column, f) for column in rows.T.astype(np.float64)], axis=0)


def _whole_numbers(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Few values, so that many are equal."""
    return np.random.default_rng(seed).integers(-4, 5, (n, d)).astype(np.float32)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize(("n", "f"), [(3, 1), (8, 2), (15, 7), (16, 0)])
def test_shares_are_counts_ties_included(name: str, n: int, f: int) -> None:
    updates = _whole_numbers(n, 50, n)
    found = aggregate(name, updates, n_byzantine=f)
    np.testing.assert_allclose(found.weights, _counted(KEPT[name], updates, f))


@pytest.mark.parametrize("name", ["trimmed_mean", "median", "meamed"])
def test_the_value_is_the_mean_of_what_was_kept(name: str) -> None:
    updates = np.random.default_rng(0).normal(size=(12, 40)).astype(np.float32)
    found = aggregate(name, updates, n_byzantine=2).update
    expected = [column[KEPT[name](column, 2)].mean() for column in updates.T]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("mixer", ["nnm", "arc", "norm_clipping", "bucketing(3)"])
def test_shares_go_back_through_mixers(name: str, mixer: str) -> None:
    """A client has the part in a mixed row that it has in the row."""
    f, n = 2, 17
    updates = np.random.default_rng(1).normal(size=(n, 60)).astype(np.float32)
    found = aggregate(f"{mixer}+{name}", updates, n_byzantine=f, rng=5)
    mixed = build_rule(mixer).mix(updates, n_byzantine=f, rng=5)
    mixing = np.linalg.lstsq(updates.T.astype(np.float64), mixed.T.astype(np.float64), rcond=None)
    mixing = np.where(np.abs(mixing[0].T) > 1e-5, mixing[0].T, 0.0)
    shares = aggregate(name, mixed, n_byzantine=f).weights @ mixing
    np.testing.assert_allclose(found.weights, shares, atol=1e-3)


def test_bulyan_counts_both_of_its_steps() -> None:
    f = 3
    updates = np.random.default_rng(2).normal(size=(16, 80)).astype(np.float32)
    chosen = naive.bulyan_selection(updates, f)
    rows = updates[chosen]
    expected = np.zeros(16)
    expected[chosen] = np.mean(
        [_near_the_median(column, 2 * f) for column in rows.T.astype(np.float64)], axis=0
    )
    found = aggregate("bulyan", updates, n_byzantine=f)
    np.testing.assert_allclose(found.weights, expected, atol=1e-9)
    assert found.weights.sum() == pytest.approx(16 - 4 * f)


def test_weights_are_counted_when_they_are_asked_for_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = []

    def spy(*args: object) -> np.ndarray:
        counted.append(args)
        return shares(*args)  # type: ignore[arg-type]

    shares = columns.kept_shares
    monkeypatch.setattr("fedtrade.robust.rule.kept_shares", spy)
    found = aggregate("median", _whole_numbers(5, 9))
    assert not counted
    first = found.weights
    assert found.weights is first
    assert len(counted) == 1


def test_weights_that_are_known_need_no_count() -> None:
    found = Aggregation(np.zeros(2, np.float32), np.array([0.5, 0.5]))
    assert found.weights.tolist() == [0.5, 0.5]
    assert found.state is None


@pytest.mark.parametrize("name", ["trimmed_mean", "meamed", "nnm+median", "bulyan"])
def test_blocks_of_any_width_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = np.random.default_rng(3).normal(size=(15, 301)).astype(np.float32)
    whole = aggregate(name, updates, n_byzantine=3)
    expected = whole.update, whole.weights
    monkeypatch.setattr(columns, "BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(columns, "FEWEST_COLUMNS", 7)
    narrow = aggregate(name, updates, n_byzantine=3)
    np.testing.assert_allclose(narrow.update, expected[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(narrow.weights, expected[1], atol=1.5 / 301)
