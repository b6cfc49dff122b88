import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedtrade.errors import CheckpointError
from simulations.arena import store, sweep
from simulations.arena.cell import Cell, CellResult
from simulations.arena.launch import plan_of
from simulations.arena.settings import ArenaSettings
from simulations.arena.store import CellStore
from simulations.arena.sweep import Finished, run_cells

Tiny = Callable[..., ArenaSettings]


class Counter:
    """Stands in for a cell's computation and remembers what was asked of it."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.cells: list[Cell] = []
        self.fail_at = fail_at

    def __call__(self, cell: Cell) -> CellResult:
        if len(self.cells) == self.fail_at:
            raise KeyboardInterrupt
        self.cells.append(cell)
        return CellResult(metrics={"accuracy": 0.5}, seconds=0.1)


@pytest.fixture
def cells(tiny: Tiny) -> tuple[Cell, ...]:
    return plan_of(tiny("seeds=[0,1]"))


def _run(
    cells: tuple[Cell, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, counter: Counter
) -> list[Finished]:
    monkeypatch.setattr(sweep, "run_cell", counter)
    seen: list[Finished] = []
    run_cells(cells, CellStore(folder), 0, seen.append)
    return seen


def test_every_combination_is_planned_once(cells: tuple[Cell, ...]) -> None:
    places = [(c.rule, c.attack, c.share, c.seed) for c in cells]
    assert len(places) == len(set(places)) == 2 * 2 * 2
    assert {place[2:] for place in places} == {(0.2, 0), (0.2, 1)}


def test_without_liars_there_is_no_attack(tiny: Tiny) -> None:
    planned = plan_of(tiny("shares=[0.0,0.2]", "attacks=[sign_flip]"))
    assert {(c.attack, c.share) for c in planned} == {("none", 0.0), ("sign_flip", 0.2)}


def test_a_sweep_goes_on_where_it_stopped(
    cells: tuple[Cell, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C in the fourth cell, three are stored and only the missing five run."""
    first = Counter(fail_at=3)
    with pytest.raises(KeyboardInterrupt):
        _run(cells, tmp_path, monkeypatch, first)
    assert len(list((tmp_path / "cells").iterdir())) == 3
    second = Counter()
    seen = _run(cells, tmp_path, monkeypatch, second)
    assert second.cells == list(cells[3:])
    assert [done.is_new for done in seen] == [False] * 3 + [True] * 5
    third = Counter()
    _run(cells, tmp_path, monkeypatch, third)
    assert third.cells == []


def test_other_settings_are_other_cells(
    cells: tuple[Cell, ...], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(cells, tmp_path, monkeypatch, Counter())
    counter = Counter()
    changed = plan_of(tiny("seeds=[0,1]", "problem.digits.rounds=4"))
    _run(changed, tmp_path, monkeypatch, counter)
    assert counter.cells == list(changed)
    assert len(list((tmp_path / "cells").iterdir())) == 16


def test_a_cell_that_fails_costs_no_other_and_is_tried_again(
    cells: tuple[Cell, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cell: Cell) -> CellResult:
        if cell.attack == "sign_flip":
            raise ZeroDivisionError("nothing to divide")
        return CellResult(metrics={"accuracy": 0.5})

    monkeypatch.setattr(sweep, "run_cell", fail)
    outcome = run_cells(cells, CellStore(tmp_path), 0, lambda done: None)
    assert {cell.attack for cell, _ in outcome.results} == {"none"}
    assert {reason for _, reason in outcome.failures} == {"ZeroDivisionError: nothing to divide"}
    counter = Counter()
    _run(cells, tmp_path, monkeypatch, counter)
    assert {cell.attack for cell in counter.cells} == {"sign_flip"}


def test_a_changed_file_of_a_cell_is_refused(cells: tuple[Cell, ...], tmp_path: Path) -> None:
    kept = CellStore(tmp_path)
    kept.save(cells[0], CellResult(metrics={"accuracy": 0.5}))
    (path,) = kept.folder.iterdir()
    text = path.read_text(encoding="utf-8")
    for wrong in (text.replace('"seed": 0', '"seed": 7'), text[:40], "[]"):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(CheckpointError, match="remove it, and its cell is computed again"):
            kept.load(cells[0])
    kept.clear()
    assert kept.load(cells[0]) is None


def test_cells_of_other_code_are_computed_again(
    cells: tuple[Cell, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(cells, tmp_path, monkeypatch, Counter())
    monkeypatch.setattr(store, "code_digest", lambda: "another version")
    counter = Counter()
    _run(cells, tmp_path, monkeypatch, counter)
    assert counter.cells == list(cells)
    assert len(list((tmp_path / "cells").iterdir())) == len(cells)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(cells: tuple[Cell, ...], tmp_path: Path) -> None:
    alone = run_cells(cells, CellStore(tmp_path / "a"), 0, lambda done: None)
    pooled = run_cells(cells, CellStore(tmp_path / "b"), 2, lambda done: None)
    assert [(c, r.metrics) for c, r in alone.results] == [(c, r.metrics) for c, r in pooled.results]
    assert pooled.failures == []


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tiny_overrides: list[str], tmp_path: Path) -> None:
    """It ends the sweep and its workers soon, and says how to go on."""
    arguments = [*tiny_overrides, "n_workers=2", "progress=plain", "seeds=[0,1,2,3,4,5]"]
    arguments += ["problem.digits.rounds=60"]
    command = [sys.executable, "-m", "fedtrade.cli", "arena", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "arena" / "cells"
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline and not (folder.is_dir() and any(folder.iterdir())):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130, printed
    assert "go on from there with:" in printed
    assert "Traceback" not in printed
    assert "leaked" not in printed
    assert 0 < len(list(folder.glob("*.json"))) < 24


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_sweep_that_is_killed(
    end: signal.Signals, tiny_overrides: list[str], tmp_path: Path
) -> None:
    arguments = [*tiny_overrides, "n_workers=2", "progress=none", "seeds=[0,1,2,3,4,5]"]
    command = [sys.executable, "-m", "fedtrade.cli", "arena", *arguments]
    process = subprocess.Popen([*command, "problem.digits.rounds=2000"])
    try:
        _wait_until(lambda: len(_workers_of(process.pid)) == 2)
        workers = _workers_of(process.pid)
    finally:
        process.send_signal(end)
        process.wait(timeout=30)
    _wait_until(lambda: not any(worker.exists() for worker in workers))


def _workers_of(parent: int) -> list[Path]:
    """Living spawned children of a process."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = [Path("/proc") / child for child in listed]
    return [path for path in found if b"spawn_main" in (path / "cmdline").read_bytes()]


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
