"""What the ledger of privacy budgets costs: an operation, and the budgets of many participants.

Beside them, what the disk needs to write a page for good: each transaction does so at least once,
and an operation is two, so that a kill loses nothing.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.events import Event, Gaussian, Laplace
from fedtrade.privacy.ledger import Account, Charge, Ledger
from fedtrade.report.records import Record

__all__ = ["run"]

_ALPHA: Final = Account("alpha")
_DELTA: Final = 1e-5
_PAGE: Final = 4096


def run(
    *, n_operations: int = 1_000, n_participants: int = 10_000, folder: str | None = None
) -> list[Record]:
    """Measure operations on two ledgers, and one query of many budgets.

    Parameters
    ----------
    n_operations : int
        Of each kind of ledger.
    n_participants : int
        With a budget and spendings of their own.
    folder : str or None
        On the disk that is measured; by default the one of temporary files.

    Raises
    ------
    ConfigurationError
        If a number is too small.
    """
    if n_operations < 20 or n_participants < 1:
        raise ConfigurationError(
            f"n_operations={n_operations} must be at least 20, and n_participants="
            f"{n_participants} at least 1."
        )
    with TemporaryDirectory(dir=folder) as place:
        return [
            *_disk(Path(place), n_operations),
            *_operations(Path(place), "rounds", n_operations, _rounds),
            *_operations(Path(place), "mixture", n_operations, _mixture),
            *_budgets(Path(place), n_participants),
        ]


def _rounds(_: int) -> Event:
    """Rounds of one run, as accountants have a formula for."""
    return Gaussian(50.0)


def _mixture(k: int) -> Event:
    """Sampled training of two kinds and statistics, which accountants add up by transforms."""
    kinds = (Gaussian(2.0, 0.002), Gaussian(3.0, 0.004), Laplace(2_000.0))
    return kinds[k % len(kinds)]


def _operations(
    place: Path, case: str, n_operations: int, event: Callable[[int], Event]
) -> Iterator[Record]:
    allocated: list[float] = []
    consumed: list[float] = []
    released: list[float] = []
    with Ledger(place / f"{case}.sqlite", create=True) as ledger:
        ledger.set_budget(_ALPHA, epsilon=8.0, delta=_DELTA)
        ledger.consume(ledger.allocate([Charge(_ALPHA, (event(0),))]))  # loads libraries
        for k in range(n_operations):
            with _timed(allocated):
                operations = ledger.allocate([Charge(_ALPHA, (event(k),))], {"round": k})
            with _timed(consumed):
                ledger.consume(operations)
        for k in range(n_operations // 10):
            operations = ledger.allocate([Charge(_ALPHA, (event(k),))], {"round": k})
            with _timed(released):
                ledger.release(operations)
    whole = [a + b for a, b in zip(allocated, consumed, strict=True)]
    yield from _summary(f"operation, {case}", whole)
    yield _record(f"operation, {case}", "mean", sum(whole) / n_operations)
    yield _record(f"operation, {case}", "longest", max(whole))
    yield _record(f"allocate, {case}", "median", median(allocated))
    yield _record(f"consume, {case}", "median", median(consumed))
    yield _record(f"release, {case}", "median", median(released))


def _budgets(place: Path, n_participants: int) -> Iterator[Record]:
    accounts = [Account(f"participant {k}") for k in range(n_participants)]
    with Ledger(place / "many.sqlite", create=True) as ledger:
        for account in accounts:
            ledger.set_budget(account, epsilon=8.0, delta=_DELTA, renews_days=365.0)
        ledger.allocate(
            [Charge(account, (Gaussian(3.0 + k / 7.0),)) for k, account in enumerate(accounts)]
        )
    # A process that comes later: nothing is remembered but the file.
    with Ledger(place / "many.sqlite") as ledger:
        times: list[float] = []
        for _ in range(5):
            with _timed(times):
                found = ledger.standings()
            assert len(found) == n_participants
    yield _record(f"budgets of {n_participants}", "first", times[0])
    yield _record(f"budgets of {n_participants}", "median", median(times))


def _disk(place: Path, n: int) -> Iterator[Record]:
    times: list[float] = []
    with (place / "page").open("wb") as file:
        for _ in range(n):
            file.write(bytes(_PAGE))
            file.flush()
            with _timed(times):
                os.fdatasync(file.fileno())
    yield from _summary("page onto the disk", times)


def _summary(case: str, times: list[float]) -> Iterator[Record]:
    yield _record(case, "median", median(times))
    yield _record(case, "95 %", quantiles(times, n=20)[-1])


def _record(case: str, metric: str, seconds: float) -> Record:
    return Record(case=case, subject="fedtrade", metric=metric, value=1e3 * seconds, unit="ms")


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times.append(time.perf_counter() - start)
