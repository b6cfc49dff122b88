"""Epsilons of three accountants on a grid, and how near calibrated noise comes to its target."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Final

from fedtrade.privacy import Gaussian, noise_multiplier, spent
from fedtrade.report.records import Record

__all__ = ["GRID", "run"]

Point = tuple[float, float, int, float]

GRID: Final[tuple[Point, ...]] = (
    (0.1, 1.0, 100, 1e-5),
    (0.1, 2.0, 1_000, 1e-6),
    (0.01, 1.0, 1_000, 1e-5),
    (0.01, 0.7, 3_000, 1e-5),
    (1.0, 4.0, 10, 1e-5),
    (1.0, 10.0, 100, 1e-6),
)
"""Sampling probability, noise multiplier, steps and delta."""

_DELTA: Final = 1e-5
_ACCOUNTANTS: Final = ("pld", "prv", "rdp")


def run(
    *,
    grid: Sequence[Point] = GRID,
    epsilons: Sequence[float] = (0.5, 2.0, 8.0),
    sampling: Sequence[float] = (0.01, 0.1, 1.0),
    n_steps: int = 200,
) -> list[Record]:
    """Measure epsilons, ratios and times on a grid, and the errors of calibration.

    Parameters
    ----------
    grid : sequence of (sampling probability, noise multiplier, steps, delta)
    epsilons, sampling : sequence of float
        Targets at a delta of 1e-5 and sampling probabilities, each with each.
    n_steps : int
        Of calibrated noise.
    """
    for accountant in _ACCOUNTANTS:
        spent([Gaussian(5.0)], _DELTA, accountant)  # loads libraries
    found = [record for point in grid for record in _compared(point)]
    for epsilon, q, accountant in product(epsilons, sampling, _ACCOUNTANTS):
        found += _calibrated(epsilon, q, n_steps, accountant)
    return found


def _compared(point: Point) -> Iterator[Record]:
    q, noise, n_steps, delta = point
    case = f"accountants q={q} sigma={noise} T={n_steps} delta={delta}"
    event = Gaussian(noise, q, n_steps)
    epsilons: dict[str, float] = {}
    for accountant in _ACCOUNTANTS:
        epsilons[accountant], duration = _timed(partial(spent, [event], delta, accountant))
        yield _record(case, f"epsilon_{accountant}", epsilons[accountant])
        yield _record(case, f"duration_{accountant}", duration, "s")
    yield _record(case, "rdp_over_pld", epsilons["rdp"] / epsilons["pld"])


def _calibrated(epsilon: float, q: float, n_steps: int, accountant: str) -> Iterator[Record]:
    case = f"calibration epsilon={epsilon} q={q} T={n_steps} {accountant}"
    noise, duration = _timed(partial(noise_multiplier, epsilon, _DELTA, n_steps, q, accountant))
    reached = spent([Gaussian(noise, q, n_steps)], _DELTA, accountant)
    yield _record(case, "noise_multiplier", noise)
    yield _record(case, "reached_over_target", reached / epsilon)
    yield _record(case, "duration", duration, "s")


def _timed(compute: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    return compute(), time.perf_counter() - start


def _record(case: str, metric: str, value: float, unit: str = "") -> Record:
    return Record(case=case, subject="fedtrade", metric=metric, value=value, unit=unit)
