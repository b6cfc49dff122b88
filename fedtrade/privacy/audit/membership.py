"""Was a training day in the training? A likelihood-ratio attack with shadow models.

Carlini et al. 2022 (LiRA, https://arxiv.org/abs/2112.03570): many models are trained, each on a
random half of the records. For each record the losses of models with it and of those without it are
two bells; a model that is attacked is judged by which bell its own loss of the record fits better.
Every model is attacked once, with all others as shadows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from fedtrade.lazy_torch import torch
from fedtrade.privacy.dp_sgd import RecordNoise, train_on_records
from fedtrade.tasks.record_training import RecordTraining

__all__ = ["Membership", "attack_membership", "half_of", "without_noise"]

_LEAST_SPREAD = 1e-6


class Membership(NamedTuple):
    """How well members were told from others.

    Attributes
    ----------
    auc : float
        Area under the curve; 0.5 is a coin.
    tpr_at_1 : float
        Share of members found where one in a hundred of the others is taken for one.
    false_positives, true_positives : float64 of shape (n_points,)
        The curve.
    """

    auc: float
    tpr_at_1: float
    false_positives: NDArray[np.float64]
    true_positives: NDArray[np.float64]


def attack_membership(
    training: RecordTraining,
    noise: RecordNoise | None,
    *,
    n_models: int,
    n_rounds: int,
    rng: np.random.Generator,
    on_model: Callable[[], None] = lambda: None,
) -> Membership:
    """Train models on random halves and attack each with the others.

    Parameters
    ----------
    noise : RecordNoise or None
        None trains without privacy.
    n_models : int
        At least 8.
    on_model : callable
        Called after each training.

    Raises
    ------
    ValueError
        If there are too few models.
    """
    if n_models < 8:
        raise ValueError(f"n_models={n_models} gives too few shadows; use 8 or more.")
    n = training.n_records
    included = np.zeros((n_models, n), dtype=bool)
    losses = np.zeros((n_models, n))
    for k in range(n_models):
        included[k, rng.permutation(n)[: n // 2]] = True
        own = half_of(training, np.flatnonzero(included[k]))
        vector = training.prior
        for _ in range(n_rounds):
            vector = train_on_records(vector, own, noise or without_noise())
        losses[k] = _losses(training, vector)
        on_model()
    return _curve(_ratios(losses, included), included)


def without_noise() -> RecordNoise:
    """What leaves the gradients as they are."""
    return RecordNoise(
        clip=1e9, sampling_probability=1.0, stddev=1e-12, unit_records=1, secure=False
    )


def half_of(training: RecordTraining, kept: NDArray[np.intp]) -> RecordTraining:
    """The training on some of the records."""
    return replace(
        training,
        n_records=len(kept),
        n_examples=len(kept),
        features=lambda chosen: training.features(kept[chosen]),
        losses=lambda vectors, chosen: training.losses(vectors, kept[chosen]),
    )


def _losses(training: RecordTraining, vector: NDArray[np.float32]) -> NDArray[np.float64]:
    everything = np.arange(training.n_records)
    with torch.no_grad():
        rows = torch.from_numpy(vector).expand(len(everything), -1)
        return training.losses(rows, everything).numpy().astype(np.float64)


def _ratios(losses: NDArray[np.float64], included: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log likelihood ratios for having been in, of each model and record; itself left out."""
    ratios = np.zeros_like(losses)
    for k in range(len(losses)):
        shadows = np.arange(len(losses)) != k
        inside, outside = shadows[:, None] & included, shadows[:, None] & ~included
        ratios[k] = _log_density(losses, inside, k) - _log_density(losses, outside, k)
    return ratios


def _log_density(
    losses: NDArray[np.float64], which: NDArray[np.bool_], k: int
) -> NDArray[np.float64]:
    """Of model k's losses (n_records,) under bells fitted to others; one width for all records.

    A width of each record's own would be badly known from few shadows (Carlini et al., section
    6.2).
    """
    count = np.maximum(which.sum(axis=0), 1)
    mean = np.where(which, losses, 0.0).sum(axis=0) / count
    rest = np.where(which, losses - mean, 0.0)
    spread = max(float(np.sqrt(np.square(rest).sum() / max(which.sum(), 1))), _LEAST_SPREAD)
    scores: NDArray[np.float64] = -0.5 * np.square((losses[k] - mean) / spread) - np.log(spread)
    return scores


def _curve(ratios: NDArray[np.float64], included: NDArray[np.bool_]) -> Membership:
    truth, scores = included.ravel(), ratios.ravel()
    false, true, _ = roc_curve(truth, scores)
    at_1 = float(np.interp(0.01, false, true))
    return Membership(float(roc_auc_score(truth, scores)), at_1, false, true)
