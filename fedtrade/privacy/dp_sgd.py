"""Training of which every record is kept private: DP-SGD (Abadi et al. 2016).

In each step the records in it are drawn by lot, each one's gradient is clipped, and noise is
added to the sum: Opacus's optimiser does the latter two. What follows, the pull to the prior and
Adam, uses nothing but that noisy sum. The lots and the noise come from the system's random source,
never from a run's seed, which the server knows.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtrade.errors import PrivacyError
from fedtrade.models.fitting import Adam
from fedtrade.privacy.calibration import noise_multiplier
from fedtrade.privacy.events import Event, Gaussian
from fedtrade.privacy.groups import group_event
from fedtrade.privacy.lattice_noise import discrete_gaussian
from fedtrade.privacy.settings import RecordLevel
from fedtrade.tasks.record_training import RecordTraining

__all__ = ["PrivateSums", "RecordNoise", "record_gradients", "train_on_records"]


ROUNDING = 1e-9
"""Share by which sums in double precision can differ more than exact ones."""

STEPS = 2.0**31
MOST_STEPS = 2.0**61
LATTICE = 1e-6
"""Share by which noise on the lattice is wider: epsilon falls by about as much of itself, where ten
thousand steps of a hundred thousand parameters need 2 * 10^9 * 17 / 2^62 < 1e-8 of it."""


@dataclass(frozen=True, slots=True)
class RecordNoise:
    """What a step of private training does to the sum of gradients, and what that costs.

    Attributes
    ----------
    clip : float
        Largest L2 norm of a record's gradient.
    sampling_probability : float
        Of each record in each step.
    stddev : float
        Of the noise on each coordinate of the sum.
    unit_records : int
        Records that one unit of privacy can be part of.
    label_records : int
        Records whose labels one bar's returns can be part of.
    secure : bool
        Exact noise, or noise in floating point.
    """

    clip: float
    sampling_probability: float
    stddev: float
    unit_records: int
    secure: bool
    label_records: int = 1

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, level: RecordLevel, n_steps: int, horizon_bars: int = 1) -> "RecordNoise":
        """The least noise that keeps the promise over so many steps in all.

        Labels are of `horizon_bars` bars each, and so a bar is in as many of them. It takes
        seconds to find with sampling of days, and is kept.

        Raises
        ------
        AccountingError
            If no noise does.
        """
        least = noise_multiplier(
            level.epsilon,
            level.delta,
            n_steps,
            level.sampling_probability,
            level.accountant,
            level.unit_records(horizon_bars),
        )
        return cls(
            level.clip,
            level.sampling_probability,
            least * level.clip * (1.0 + ROUNDING),
            level.unit_records(horizon_bars),
            level.secure_noise,
            horizon_bars,
        )

    def event(self, n_steps: int) -> Event:
        """What so many steps cost one unit, a group of records that are drawn one by one."""
        return self._group_event(n_steps, self.unit_records)

    def label_event(self, n_steps: int) -> Event:
        """What so many steps cost one record as a label alone."""
        return self._group_event(n_steps, self.label_records)

    def _group_event(self, n_steps: int, n_records: int) -> Event:
        alone = Gaussian(self.stddev / self.clip, self.sampling_probability, n_steps)
        return group_event(alone, n_records)


def train_on_records(
    start: NDArray[np.float32],
    training: RecordTraining,
    noise: RecordNoise,
    *,
    proximal: float = 0.0,
    observe: Callable[[Tensor], None] | None = None,
) -> NDArray[np.float32]:
    """One round of private training.

    Parameters
    ----------
    start : float32 of shape (n_params,)
    proximal : float
        Strength of a pull to `start`.
    observe : callable or None
        Shown the noisy sum of each step, as an auditor is.

    Returns
    -------
    float32 of shape (n_params,)
        The trained vector. It is the only thing that may leave: neither the loss nor the number
        of examples in a step is private.

    Raises
    ------
    ValueError
        If there is no record.
    """
    if not training.n_records:
        raise ValueError("there is no record to train on.")
    if np.isinf(training.shrinkage):
        return np.array(training.prior, dtype=np.float32)
    sums = PrivateSums(len(start), noise)
    vector = torch.from_numpy(np.array(start, dtype=np.float32))
    prior = torch.from_numpy(np.asarray(training.prior, dtype=np.float32))
    origin = vector.clone()
    pull, expected = training.shrinkage, training.n_records * noise.sampling_probability
    adam = Adam(vector)
    for step in range(training.n_steps):
        chosen = _drawn(training.n_records, noise.sampling_probability)
        total = sums.release(record_gradients(training, vector, chosen))
        if observe is not None:
            observe(total)
        gradient = total / expected + pull * (vector - prior) + proximal * (vector - origin)
        adam.step(gradient, training.learning_rate * (1.0 - step / training.n_steps))
    return vector.numpy()


def record_gradients(training: RecordTraining, vector: Tensor, chosen: NDArray[np.intp]) -> Tensor:
    """Each chosen record's gradient at a vector (n_params,), shape (n_chosen, n_params).

    By one backward pass.
    """
    own = vector.expand(len(chosen), -1).clone().requires_grad_(True)
    if not len(chosen):
        return torch.zeros_like(own, requires_grad=False)
    (gradients,) = torch.autograd.grad(training.losses(own, chosen).sum(), own)
    # A record whose loss overflowed must not say so.
    return torch.nan_to_num(gradients, nan=0.0, posinf=0.0, neginf=0.0)


class PrivateSums:
    """Clips rows, adds them and adds noise.

    Parameters
    ----------
    n_params : int
        Length of a row.
    noise : RecordNoise
    """

    def __init__(self, n_params: int, noise: RecordNoise) -> None:
        from opacus.optimizers import DPOptimizer

        self._sum = torch.nn.Parameter(torch.zeros(n_params, dtype=torch.float64))
        exact = _ExactNoise(n_params, noise) if noise.secure else None
        self._exact = exact
        self._optimizer = DPOptimizer(
            torch.optim.SGD([self._sum], lr=1.0),
            noise_multiplier=0.0 if exact else noise.stddev / noise.clip,
            max_grad_norm=noise.clip,
            expected_batch_size=None,
            loss_reduction="sum",
            generator=torch.Generator().manual_seed(int.from_bytes(os.urandom(7), "big")),
        )

    def release(self, rows: Tensor) -> Tensor:
        """The noisy sum of clipped rows (n_rows, n_params), shape (n_params,)."""
        self._optimizer.zero_grad()
        self._sum.grad_sample = rows.double()  # type: ignore[attr-defined]  # where Opacus looks
        self._optimizer.pre_step()
        total = self._sum.grad
        assert total is not None
        total = total.detach().clone()
        return (total if self._exact is None else self._exact.added_to(total)).float()


class _ExactNoise:
    """Discrete Gaussian noise on a lattice, of which the deviation of the noise is 2^31 steps.

    A sum is rounded to the lattice first, so that a unit changes it by up to a step more an entry.
    On so fine a lattice the noise differs from continuous noise that is rounded by a factor within
    1 + 17 / 2^62 an entry, but for a probability below 1e-40 (see `mechanisms.gaussian`). The noise
    is as much wider as covers both.
    """

    def __init__(self, n_params: int, noise: RecordNoise) -> None:
        self._step = noise.stddev / STEPS
        rounding = math.sqrt(n_params) * self._step / noise.clip
        self._sigma = STEPS * (1.0 + rounding + LATTICE)

    def added_to(self, total: Tensor) -> Tensor:
        """A sum (n_params,) with noise, in double precision."""
        steps = np.rint(total.numpy() / self._step)
        if not np.abs(steps).max(initial=0.0) < MOST_STEPS:
            raise PrivacyError(
                f"the noise of deviation {self._step * STEPS:g} is too small beside the sums of "
                "gradients: lower privacy.record.epsilon."
            )
        drawn = discrete_gaussian(len(steps), self._sigma, os.urandom)
        return torch.from_numpy((steps.astype(np.int64) + drawn) * self._step)


def _drawn(n_records: int, probability: float) -> NDArray[np.intp]:
    """The records of one step, each by its own lot."""
    if probability >= 1.0:
        return np.arange(n_records)
    lots = np.frombuffer(os.urandom(8 * n_records), dtype=np.uint64)
    return np.flatnonzero(lots < np.uint64(probability * 2.0**64))
