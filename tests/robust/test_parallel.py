"""Threads, blocks and memory: large updates are worked on in parts, with the same result."""

import threading
import tracemalloc

import numpy as np
import pytest

from fedtrade.robust import columns, gram, krum, parallel, rows
from fedtrade.robust.parallel import each_part, n_cores
from tests.robust.cases import CASES, Case
from tests.robust.samples import relative_error


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "n_cores", lambda: 3)


@pytest.mark.parametrize(("n_columns", "n_parts"), [(10, 3), (3, 3), (2, 2), (1, 1)])
def test_parts_follow_each_other_and_cover_all(
    three_cores: None, n_columns: int, n_parts: int
) -> None:
    parts = each_part(n_columns, parallel.PARALLEL_FROM, lambda part: part)
    assert len(parts) == n_parts
    covered = [column for part in parts for column in range(part.start, part.stop)]
    assert covered == list(range(n_columns))


def test_little_is_done_in_the_callers_thread(three_cores: None) -> None:
    few = each_part(9, parallel.PARALLEL_FROM - 1, lambda _: threading.get_ident())
    assert few == [threading.get_ident()]


def test_much_is_done_in_several_threads_at_a_time(three_cores: None) -> None:
    """All three wait for each other: alone or in turns they would wait in vain."""
    barrier = threading.Barrier(3, timeout=20.0)
    threads = each_part(
        9, parallel.PARALLEL_FROM, lambda _: (barrier.wait(), threading.get_ident())
    )
    assert len({thread for _, thread in threads}) == 3


def test_an_error_in_a_part_is_the_callers(three_cores: None) -> None:
    def fail(part: slice) -> None:
        if part.start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each_part(9, parallel.PARALLEL_FROM, fail)


def test_there_is_at_least_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_cores() >= 1
    monkeypatch.delattr(parallel.os, "sched_getaffinity", raising=False)
    assert n_cores() >= 1


def _unlike(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(n, d)) * rng.lognormal(0.0, 0.5, (n, 1))
    return (updates + 3.0).astype(np.float32)


def _agree(case: Case, updates: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads and narrow blocks against one thread and wide blocks."""
    monkeypatch.setattr(parallel, "n_cores", lambda: 1)
    anchor = updates[0].copy()
    expected = case(updates, anchor)
    weights = expected.weights
    monkeypatch.setattr(parallel, "n_cores", lambda: 3)
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 1 << 16)
    monkeypatch.setattr(krum, "BLOCK_ELEMENTS", 1 << 8)
    monkeypatch.setattr(gram, "CACHED_ELEMENTS", 1 << 7)
    found = case(updates, anchor)
    assert relative_error(found.update, expected.update) < 1e-4
    np.testing.assert_allclose(found.weights, weights, atol=1e-3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parts_and_blocks_give_the_same_as_the_whole(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PARALLEL_FROM", 1 << 10)
    _agree(case, _unlike(40, 2500), monkeypatch)


@pytest.mark.parametrize(
    "name", ["multi_krum", "geometric_median", "nnm", "trimmed_mean", "nnm+median", "arc+krum"]
)
def test_more_than_a_million_elements_are_worked_on_in_parts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = _unlike(40, 30_000)
    assert updates.size >= parallel.PARALLEL_FROM
    _agree(Case(name), updates, monkeypatch)


@pytest.fixture(scope="module")
def moderate() -> np.ndarray:
    """Far from the origin, so that rows are centred block by block."""
    return np.random.default_rng(0).normal(50.0, 1.0, (200, 20_000)).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_rule_holds_more_than_another_copy_of_the_updates(
    case: Case, moderate: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only FoolsGold holds one, the sums of all updates so far, which it gives as its state.

    Blocks are made small, since their size does not grow with that of the updates.
    """
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 1 << 17)
    monkeypatch.setattr(columns, "BLOCK_ELEMENTS", 1 << 13)
    anchor = moderate[0].copy()
    state = case(moderate, anchor).state
    tracemalloc.start()
    try:
        found = case(moderate, anchor, state=state)
        assert np.isfinite(found.weights).all()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copies = 1 if case.rule.uses_history else 0
    assert peak <= (copies + 0.4) * moderate.nbytes
