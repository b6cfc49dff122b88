"""Models to compare with that need everybody's data in one place; for simulations only."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import DataError
from fedtrade.holdings import Holdings
from fedtrade.outcome import EpisodeOutcome
from fedtrade.settings import Settings
from fedtrade.tasks.task import Model, Sample, Shared, Task
from strategies.public_sample import PublicSample

__all__ = ["ReferenceModels"]


class ReferenceModels:
    """A pooled model for each episode, and one frozen after an early public period.

    The pooled model sees the training bars of all participants at once. The frozen one stands for
    what a vendor could publish: it is trained once, on the first `evaluation.public_bars` bars of
    every asset (at most up to the run's first origin), and only its nowcast is of the day.

    Parameters
    ----------
    public_sample : PublicSample or None
        What the frozen model is trained on; without it there is none.
    """

    def __init__(self, settings: Settings, task: Task, public_sample: PublicSample | None) -> None:
        self._settings = settings
        self._task = task
        self._public_sample = public_sample
        self._frozen: Model | None = None

    def __call__(
        self, outcome: EpisodeOutcome, calendar: NDArray[np.datetime64]
    ) -> Mapping[str, Model]:
        """The reference models of an episode by arm."""
        models: dict[str, Model] = {}
        if self._public_sample is not None:
            public = self._public_sample
            self._frozen = self._frozen or self._fit([public.sample], public.sums)
            models["frozen_nowcast"] = self._frozen
        if self._settings.evaluation.pooled:
            models["pooled"] = self._train_pooled(outcome, calendar)
        return models

    def _train_pooled(self, outcome: EpisodeOutcome, calendar: NDArray[np.datetime64]) -> Model:
        holdings = Holdings.of(self._settings)
        samples = []
        for number in range(holdings.n_participants):
            with suppress(DataError):  # it could not take part in the federation either
                samples.append(holdings.sample(number, outcome.episode, calendar))
        return self._fit(samples, outcome.shared)

    def _fit(self, samples: list[Sample], shared: Shared) -> Model:
        vector = self._task.fit_pooled(samples, shared, self._settings.federation.rounds)
        return Model(vector, {name: shared[name] for name in self._task.learned})
