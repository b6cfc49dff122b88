"""Data that everybody may see: the first bars of every asset, where a server holds them."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtrade.corrections import ClientCorrection, Correction
from fedtrade.errors import ConfigurationError
from fedtrade.holdings import Holdings
from fedtrade.settings import Settings
from fedtrade.tasks.task import Sample, Shared, Task

__all__ = ["PublicSample"]


class PublicSample:
    """The first `evaluation.public_bars` bars of all assets, at most up to the first origin.

    Parameters
    ----------
    first_origin : numpy.datetime64
        Of the run's episodes.
    """

    def __init__(self, settings: Settings, task: Task, first_origin: np.datetime64) -> None:
        self._settings = settings
        self._task = task
        self._first_origin = first_origin

    @classmethod
    def of(
        cls, settings: Settings, task: Task, first_origin: np.datetime64
    ) -> "PublicSample | None":
        """The sample of a run, or None if its settings make no bar public."""
        return cls(settings, task, first_origin) if settings.evaluation.public_bars else None

    @cached_property
    def sample(self) -> Sample:
        """The bars, all for training."""
        bars = self._settings.evaluation.public_bars
        panel = Holdings.of(self._settings).panel.until(self._first_origin).rows(0, bars)
        return Sample.take(panel, calendar=panel.bars, origin=panel.bars[-1])

    @cached_property
    def sums(self) -> Shared:
        """The task's federated sums over this sample alone."""
        shared: dict[str, NDArray[np.float64]] = {}
        for name in self._task.sums:
            part = self._task.local_sum(name, self.sample, shared)
            shared[name] = self._task.finish_sum(name, part)
        return shared

    def update(
        self,
        vector: NDArray[np.float32],
        *,
        learned: Mapping[str, NDArray[np.float64]],
        asked: ClientCorrection,
    ) -> NDArray[np.float32]:
        """What a participant with this sample would send: the root of FLTrust's trust.

        The sums that belong to a model are the federation's, so that the update fits the global
        vector; others, such as a nowcast, are of these bars and hence its own. Control variates
        do not correct the root's training; its gradient stands behind its update as in a reply.

        Parameters
        ----------
        learned : mapping of str to array
            The federation's sums that belong to the model.

        Raises
        ------
        ConfigurationError
            If control variates are asked for and the task gives no gradient.
        """
        shared = {**self.sums, **learned}
        if not asked.proximal:
            result = self._task.train(vector, self.sample, shared)
        else:
            correction = Correction(asked.proximal)
            result = self._task.train(vector, self.sample, shared, correction=correction)
        if not asked.uses_variates:
            return result.update
        if result.gradient is None:
            raise ConfigurationError(
                f"the task {self._task.name} gives no gradient, which control variates need; "
                "choose another strategy.client_correction."
            )
        return np.concatenate([result.update, result.gradient])
