"""What clipping an update and its noise take of a participant, by trust mode, beside Flower.

Flower's functions clip and add noise in floating point, from numpy's generator, which is no secret;
ours are exact and draw from the operating system's. Both do what their trust mode asks for: where
one party adds the noise it does so once a sum, and each participant counts for its share of that;
in `masked` each participant adds its own, which Flower calls local.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from flwr.supercore.differential_privacy import (
    add_gaussian_noise_inplace,
    compute_clip_model_update,
)

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.participant import NoisyVectors, ReleasePlan, adders
from fedtrade.privacy.settings import ParticipantLevel
from fedtrade.report.records import Record
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation

__all__ = ["run"]

_N_ROUNDS = 10


def run(*, n_params: int = 10_000, n_participants: int = 10, n_repeats: int = 30) -> list[Record]:
    """Measure a round's clips and noise in each trust mode.

    Parameters
    ----------
    n_params : int
        Of the model.
    n_participants : int
        Whose updates are added up.
    n_repeats : int
        Of each case; one of ours and one of theirs in turn.

    Raises
    ------
    ConfigurationError
        If a number is too small.
    """
    if n_params < 1 or n_participants < 3 or n_repeats < 1:
        raise ConfigurationError(
            f"n_params={n_params} and n_repeats={n_repeats} must be at least 1, and "
            f"n_participants={n_participants} at least 3."
        )
    update = np.random.default_rng(0).normal(size=n_params).astype(np.float32)
    modes: dict[str, Aggregation] = {
        "plain": PlainAggregation(),
        "masked": MaskedAggregation(),
        "encrypted": EncryptedAggregation(scheme="bfv", weighted=False),
    }
    found: list[Record] = []
    for mode, settings in modes.items():
        plan = ReleasePlan(ParticipantLevel(), 1, _N_ROUNDS, 0)
        vectors = NoisyVectors(plan, adders(settings, n_participants))
        n_draws = n_participants if vectors.adders.by_members else 1
        found += _mode(mode, vectors, update, n_participants, n_draws, n_repeats)
    return found


def _mode(
    mode: str,
    vectors: NoisyVectors,
    update: np.ndarray,
    n_participants: int,
    n_draws: int,
    n_repeats: int,
) -> Iterator[Record]:
    clip = float(np.linalg.norm(update)) / 2.0
    start = np.zeros_like(update)
    deviation = clip * vectors.plan.update_noise / np.sqrt(vectors.adders.n_honest)

    def ours() -> None:
        for _ in range(n_participants):
            vectors.update_values(update, clip)
        for _ in range(n_draws):
            vectors.update_noise(update.size)

    def theirs() -> None:
        for _ in range(n_participants):
            compute_clip_model_update([update], [start], clip)
        for _ in range(n_draws):
            add_gaussian_noise_inplace([start.copy()], deviation)

    times: dict[str, list[float]] = {"fedtrade": [], "flwr": []}
    for again in range(n_repeats + 1):
        for subject, act in (("fedtrade", ours), ("flwr", theirs)):
            seconds = _seconds(act)
            if again:  # the first one loads libraries
                times[subject].append(1e3 * seconds / n_participants)
    case = f"clip and noise of an update of {update.size} numbers, {mode}"
    found = {subject: median(each) for subject, each in times.items()}
    for subject, value in found.items():
        yield Record(case=case, subject=subject, metric="a participant", value=value, unit="ms")
    ratio = found["fedtrade"] / found["flwr"]
    yield Record(case=case, subject="fedtrade", metric="over flwr", value=ratio, unit="")


def _seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
