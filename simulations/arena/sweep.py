"""Plan the cells of a sweep and run those that are missing, on all cores."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from typing import NamedTuple, TypeAlias

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.settings import Component
from simulations.arena.cell import NO_ATTACK, Cell, CellResult, run_cell
from simulations.arena.settings import ArenaSettings
from simulations.arena.store import CellStore

__all__ = ["Finished", "SweepOutcome", "plan_cells", "run_cells"]

Attacks: TypeAlias = Mapping[str, Component | None]
"""What is behind the name of each attack; None for no attack."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Finished(NamedTuple):
    """A cell that is done; `is_new` unless it was found on the disk."""

    cell: Cell
    result: CellResult
    is_new: bool


class SweepOutcome(NamedTuple):
    """What came of a sweep: results, and reasons why cells failed, both in the planned order."""

    results: Sequence[tuple[Cell, CellResult]]
    failures: Sequence[tuple[Cell, str]]


def plan_cells(settings: ArenaSettings, attacks: Attacks) -> tuple[Cell, ...]:
    """All cells, those of one problem, level and seed together.

    Without liars an attack means nothing: a share of 0 has the attack `none` alone, which is there
    whether it was asked for or not.

    Raises
    ------
    ConfigurationError
        If there is nothing to run.
    """
    cells = tuple(
        Cell(
            problem=problem,
            heterogeneity=level,
            rule=rule.name,
            attack=attack,
            share=share,
            seed=seed,
            group_size=group_size,
            assumed_share=settings.assumed_share,
            definition=definition.component,
            strategy=settings.strategy,
            rule_options=None
            if rule.component is None
            else rule.component.model_dump(by_alias=True),
            attack_options=options,
            reference=settings.reference,
        )
        for problem, definition in settings.chosen()
        for level in definition.levels
        for seed in settings.seeds
        for share in settings.shares
        for rule in settings.rules
        for group_size in settings.group_sizes
        for attack, options in (attacks if share else {NO_ATTACK: None}).items()
    )
    if not cells:
        raise ConfigurationError("the arena has no cell to run; name a problem, rule and attack.")
    return cells


def run_cells(
    cells: Sequence[Cell],
    store: CellStore,
    n_workers: int,
    on_finished: Callable[[Finished], None],
) -> SweepOutcome:
    """Run the cells that the store lacks; each is stored as soon as it is finished.

    A cell that fails costs no other: its reason is kept, and it is not stored, so that the next
    sweep tries again.

    Parameters
    ----------
    n_workers : int
        Processes, each with one thread; 0 runs in this one.
    on_finished : callable
        Told of every cell, found or new, as it is done.

    Raises
    ------
    FedtradeError
        If a stored cell cannot be used or a new one not be written, or a worker process dies.
    KeyboardInterrupt
        After Ctrl-C, when the workers are stopped; finished cells are stored.
    """
    results: dict[str, CellResult] = {}
    failures: dict[str, str] = {}
    for cell in cells:
        known = store.load(cell)
        if known is not None:
            results[cell.key] = known
            on_finished(Finished(cell, known, is_new=False))
    missing = [cell for cell in cells if cell.key not in results]
    for cell, outcome in _computed(missing, n_workers):
        if isinstance(outcome, CellResult):
            store.save(cell, outcome)
            results[cell.key] = outcome
            on_finished(Finished(cell, outcome, is_new=True))
        else:
            failures[cell.key] = outcome
    return SweepOutcome(
        [(cell, results[cell.key]) for cell in cells if cell.key in results],
        [(cell, failures[cell.key]) for cell in cells if cell.key in failures],
    )


def _computed(cells: Sequence[Cell], n_workers: int) -> Iterator[tuple[Cell, CellResult | str]]:
    """Each cell with its result, or with the reason why it failed."""
    if n_workers == 0 or len(cells) < 2:
        yield from ((cell, _attempt(cell)) for cell in cells)
        return
    with _workers(min(n_workers, len(cells))) as pool:
        # A few ahead of the workers: an order that follows the plan lets them share what cells of
        # one problem have in common.
        waiting = iter(cells)
        running: dict[Future[CellResult | str], Cell] = {}
        for cell in waiting:
            running[pool.submit(_attempt, cell)] = cell
            if len(running) >= 2 * n_workers:
                yield from _ready(running)
        while running:
            yield from _ready(running)


def _ready(
    running: dict[Future[CellResult | str], Cell],
) -> Iterator[tuple[Cell, CellResult | str]]:
    """Wait until one is finished, and take all that are."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        cell = running.pop(future)
        try:
            yield cell, future.result()
        except BrokenProcessPool as error:
            raise FedtradeError(
                f"a worker process died near {cell.title}; it may have run out of memory: run "
                "again with fewer n_workers, finished cells are kept."
            ) from error


def _attempt(cell: Cell) -> CellResult | str:
    try:
        return run_cell(cell)
    except Exception as error:  # a stranger's rule or attack must not end the sweep
        name = "" if isinstance(error, FedtradeError) else f"{type(error).__name__}: "
        return f"{name}{error}"


@contextmanager
def _workers(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one thread each, which are ended when the block is left early."""
    before = {name: os.environ.get(name) for name in _THREADS}
    others = set(multiprocessing.active_children())
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    # Started first, because it would let interrupts through again.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # Processes start with Ctrl-C held back and let it pass never: it is the parent's to handle.
        pool = ProcessPoolExecutor(
            n_workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker
        )
        for _ in range(n_workers):  # starts the processes while it is held back
            pool.submit(_ignore_interrupts)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        # To the end, so that none of its threads and semaphores is left behind.
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, which the pool leaves to chance."""
    _ignore_interrupts()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
