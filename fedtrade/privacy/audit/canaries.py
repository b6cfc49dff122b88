"""Canaries among the records of a private training, and what its releases tell of them.

A canary is a record whose gradient is always the same direction of the largest norm allowed: no
real record is easier to find. The auditor sees the noisy sum of every step, which is all that the
accounting assumes to be seen; updates and models are made of nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.lazy_torch import torch
from fedtrade.privacy.dp_sgd import RecordNoise, train_on_records
from fedtrade.tasks.record_training import RecordTraining

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CanaryScores", "audit_training"]


class CanaryScores(NamedTuple):
    """What the auditor makes of each canary, and whether it was in; both of shape (n_canaries,)."""

    scores: NDArray[np.float64]
    included: NDArray[np.bool_]


def audit_training(
    training: RecordTraining,
    noise: RecordNoise,
    *,
    n_canaries: int,
    rng: np.random.Generator,
    size: float = 1.0,
) -> CanaryScores:
    """Train with canaries, as often as it takes for all of them to have room.

    Trainings that share no canary are one mechanism, which is as private for each canary as the
    training that it is in.

    Parameters
    ----------
    n_canaries : int
        Each stands for one unit of privacy: it is as many records as a unit can be part of.
    rng : numpy.random.Generator
        Of the tosses and directions; the training's own noise has another source.
    size : float
        Norm of a canary's gradient as a multiple of the clip, which ought to make no difference
        above 1.
    """
    scores, included = [], []
    for first in range(0, n_canaries, len(training.prior)):
        n = min(n_canaries - first, len(training.prior))
        found = _one_training(training, noise, n, rng, size)
        scores.append(found.scores)
        included.append(found.included)
    return CanaryScores(np.concatenate(scores), np.concatenate(included))


def _one_training(
    training: RecordTraining,
    noise: RecordNoise,
    n_canaries: int,
    rng: np.random.Generator,
    size: float,
) -> CanaryScores:
    directions = _directions(n_canaries, len(training.prior), rng)
    included = rng.random(n_canaries) < 0.5
    grown = _with_canaries(training, noise, size * noise.clip * directions[included])
    seen = np.zeros(len(training.prior))

    def observe(total: Tensor) -> None:
        seen[:] += total.numpy()

    train_on_records(training.prior, grown, noise, observe=observe)
    return CanaryScores(directions @ seen, included)


def _directions(n: int, n_params: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Orthogonal unit vectors, shape (n, n_params)."""
    square, _ = np.linalg.qr(rng.normal(size=(n_params, n_params)))
    rows: NDArray[np.float64] = square[:n]
    return rows


def _with_canaries(
    training: RecordTraining, noise: RecordNoise, gradients: NDArray[np.float64]
) -> RecordTraining:
    """The records, and behind them each canary as often as a unit is part of records."""
    repeated = torch.from_numpy(np.repeat(gradients, noise.unit_records, axis=0))
    n_own = training.n_records

    def losses(vectors: Tensor, chosen: NDArray[np.intp]) -> Tensor:
        is_own = chosen < n_own
        own = torch.from_numpy(is_own)
        found = torch.zeros(len(chosen), dtype=vectors.dtype)
        if is_own.any():
            found[own] = training.losses(vectors[own], chosen[is_own])
        if not is_own.all():
            canaries = repeated[torch.from_numpy(chosen[~is_own] - n_own)].to(vectors.dtype)
            found[~own] = (vectors[~own] * canaries).sum(dim=-1)
        return found

    n_records = n_own + len(repeated)
    return replace(training, n_records=n_records, n_examples=n_records, losses=losses)
