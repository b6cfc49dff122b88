"""Reading a training day off a gradient.

A network's first layer is affine, so that the gradient of one example is the gradient of the
layer's intercepts times the example: dividing one by the other gives the example (Phong et al.
2018; Geiping et al. 2020, proposition 3.1). Of a sum over examples it gives a blend of them, and of
a noisy one noise. The gradient is the most that a participant's update could tell: Adam's steps
depend on the data through it alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.lazy_torch import torch
from fedtrade.privacy.dp_sgd import PrivateSums, RecordNoise, record_gradients
from fedtrade.tasks.record_training import RecordTraining

__all__ = ["Inversion", "attack_gradients", "features_from_gradient"]


class Inversion(NamedTuple):
    """How near the attack came to a day's features.

    Attributes
    ----------
    seen : str
        What the attacker saw.
    error : float
        Root mean square distance to the features, in their standard deviations, a mean over days;
        1 or more is no better than knowing nothing, 0 is reading them off.
    exact : float
        Share of the days that were read off within 1 %.
    """

    seen: str
    error: float
    exact: float


def features_from_gradient(
    gradient: NDArray[np.float64], n_units: int, n_features: int
) -> NDArray[np.float64]:
    """The example that a gradient is of, shape (n_features,).

    Parameters
    ----------
    gradient : float64 of shape (n_params,)
        Begins with the `n_units` intercepts of the first layer, then its weights by row.
    """
    intercepts = gradient[:n_units]
    weights = gradient[n_units : n_units * (1 + n_features)].reshape(n_units, n_features)
    scale = float(intercepts @ intercepts)
    if scale == 0.0:
        return np.zeros(n_features)
    found: NDArray[np.float64] = intercepts @ weights / scale
    return found


def attack_gradients(
    participants: Sequence[RecordTraining],
    noise: RecordNoise | None,
    *,
    n_days: int,
    rng: np.random.Generator,
) -> list[Inversion]:
    """Try to read off days of the first participant from what different settings let one see.

    Parameters
    ----------
    participants : sequence of RecordTraining
        At least two; records of one number need not be of one day.
    noise : RecordNoise or None
        Of the record level, if it is to be tried.

    Returns
    -------
    list of Inversion
        Empty if the model's first layer is not known.
    """
    own = participants[0]
    if own.n_units is None:
        return []
    vector = _away_from(own.prior, rng)
    n = min(training.n_records for training in participants)
    days = rng.choice(n, size=min(n_days, n), replace=False)
    alone = [_gradient(own, vector, np.array([day])) for day in days]
    others = sum(_gradient(t, vector, days) for t in participants[1:])
    cases = {
        "one day's gradient, as `plain` shows it": alone,
        "the sum of one day's gradients of all participants, as `masked` and `encrypted` show it": [
            g + others / len(days) for g in alone
        ],
        "the whole history's gradient of one participant, as `plain` shows it": [
            _gradient(own, vector, np.arange(own.n_records)) / own.n_records for _ in days
        ],
    }
    if noise is not None:
        sums = PrivateSums(len(vector), noise)
        rows = [record_gradients(own, torch.from_numpy(vector), np.array([day])) for day in days]
        released = [sums.release(row).numpy().astype(np.float64) for row in rows]
        cases["one day's gradient with the noise of the record level"] = released
    truths = [own.features(np.array([day]))[0] for day in days]
    return [_judged(seen, found, truths, own.n_units) for seen, found in cases.items()]


def _away_from(prior: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A model after some training: at its start the last layer is zero, and hides the first."""
    return prior + rng.normal(scale=0.1, size=len(prior)).astype(np.float32)


def _gradient(
    training: RecordTraining, vector: NDArray[np.float32], chosen: NDArray[np.intp]
) -> NDArray[np.float64]:
    rows = record_gradients(training, torch.from_numpy(vector), chosen)
    total: NDArray[np.float64] = rows.double().sum(dim=0).numpy()
    return total


def _judged(
    seen: str,
    gradients: Sequence[NDArray[np.float64]],
    truths: Sequence[NDArray[np.float64]],
    n_units: int,
) -> Inversion:
    errors = [
        float(np.sqrt(np.mean(np.square(features_from_gradient(g, n_units, len(truth)) - truth))))
        for g, truth in zip(gradients, truths, strict=True)
    ]
    return Inversion(seen, float(np.mean(errors)), float(np.mean(np.array(errors) < 0.01)))
