"""What it costs to clip an update and add noise, beside OpenDP's Gaussians.

The mechanism for statistics first; then what each party does at participant level in the trust
modes: clip and write as integers (each participant in `masked` and `encrypted`, the server for each
in `plain`), and draw noise (each participant in `masked`; once a sum elsewhere).
"""

import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import numpy as np

from fedtrade.errors import ConfigurationError
from fedtrade.privacy import noise_multiplier
from fedtrade.privacy.mechanisms import gaussian, laplace
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.privacy.participant.adders import Adders
from fedtrade.privacy.participant.lattice import QUANTA
from fedtrade.privacy.participant.plan import ReleasePlan
from fedtrade.privacy.settings import ParticipantLevel
from fedtrade.report.records import Record

__all__ = ["run"]

_EPSILON, _DELTA = 1.0, 1e-5


def run(*, n_params: int = 10_000, n_repeats: int = 50, peer: bool = True) -> list[Record]:
    """Measure one vector's clip and noise, many times over.

    Parameters
    ----------
    n_params : int
        Length of the vector.
    n_repeats : int
        Of each case.
    peer : bool
        Whether OpenDP's Gaussian mechanism, which does not clip, runs beside ours.

    Raises
    ------
    ConfigurationError
        If a number is too small.
    """
    if n_params < 1 or n_repeats < 2:
        raise ConfigurationError(
            f"n_params={n_params} must be at least 1, and n_repeats={n_repeats} at least 2."
        )
    row = np.random.default_rng(0).normal(size=(1, n_params))
    clip = float(np.linalg.norm(row)) / 2.0
    case = f"clip and noise, {n_params} numbers"
    found = [
        *_times(
            f"{case}, Gaussian",
            "fedtrade",
            lambda: gaussian(row, clip=clip, epsilon=_EPSILON, delta=_DELTA),
            n_repeats,
        ),
        *_times(
            f"{case}, Laplace",
            "fedtrade",
            lambda: laplace(row, clip=clip, epsilon=_EPSILON),
            n_repeats,
        ),
    ]
    vectors = NoisyVectors(ReleasePlan(ParticipantLevel(), 1, 10, 0), Adders("participants", 7, 9))
    update, deviation = row[0].astype(np.float32), vectors.plan.update_noise * QUANTA / np.sqrt(7)
    parts: dict[str, Callable[[], object]] = {
        "onto the lattice": lambda: vectors.update_values(update, clip),
        "its part of the noise": lambda: vectors.update_noise(n_params),
    }
    for what, act in parts.items():
        found += _times(f"an update of {n_params} numbers, {what}", "fedtrade", act, n_repeats)
    if peer:
        discrete = _opendp_discrete_gaussian(n_params, float(deviation))
        zeros = [0] * n_params
        found += _times(
            f"an update of {n_params} numbers, its part of the noise",
            "opendp",
            lambda: discrete(zeros),
            min(n_repeats, 5),
        )
        theirs = _opendp_gaussian(n_params, clip * noise_multiplier(_EPSILON, _DELTA, 1))
        values = row[0].tolist()
        found += _times(f"{case}, Gaussian", "opendp", lambda: theirs(values), min(n_repeats, 5))
    return found


def _opendp_gaussian(n_params: int, stddev: float) -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=float, nan=False), size=n_params)
    return dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=stddev)


def _opendp_discrete_gaussian(n_params: int, stddev: float) -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"), size=n_params)
    return dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=stddev)


def _times(case: str, subject: str, act: Callable[[], object], n_repeats: int) -> Iterator[Record]:
    act()
    times = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        act()
        times.append(1e3 * (time.perf_counter() - start))
    for metric, value in (("median", median(times)), ("95 %", quantiles(times, n=20)[-1])):
        yield Record(case=case, subject=subject, metric=metric, value=value, unit="ms")
