"""Who holds which prices in a run, and what of them belongs to an episode."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedtrade.components import build, factory
from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market import Panel, Share, cut, history_window
from fedtrade.market.kept_panels import keeping_panels
from fedtrade.settings import Settings
from fedtrade.tasks.task import Sample, Task
from fedtrade.wire import EpisodeRecord

__all__ = ["Holdings", "build_task", "with_participants"]


def build_task(settings: Settings) -> Task:
    """The task with the network that the configuration chose."""
    task: Task = build(settings.task, "task", network=factory(settings.model, "model"))
    least = task.min_history_bars
    if settings.federation.history_bars < least:
        raise ConfigurationError(
            f"federation.history_bars={settings.federation.history_bars} is too short for the task "
            f"{task.name}: it needs at least {least} bars for its windows and some to learn from."
        )
    return task


def with_participants(settings: Settings) -> Settings:
    """The settings with `federation.n_participants` filled in from the partition.

    Raises
    ------
    ConfigurationError
        If the number that the partition gives is too small for the federation.
    """
    values = settings.to_mapping()
    values["federation"]["n_participants"] = Holdings.of(settings).n_participants
    return Settings.from_mapping(values)


class Holdings:
    """The data of a run and its split among participants.

    On a participant's machine it is used for that participant alone; only a simulation asks for
    several.

    Parameters
    ----------
    settings : Settings
    kept_in : Path or None
        Folder of panels as they were read before; see `fedtrade.market.kept_panels`.
    """

    def __init__(self, settings: Settings, kept_in: Path | None = None) -> None:
        with keeping_panels(kept_in):
            self.panel: Panel = build(settings.data, "data")
        if not self.panel.n_bars:
            raise DataError("data: no bar is left; check data.start and data.end.")
        self._check_variance()
        partitioner = build(settings.partition, "partition")
        self.shares: tuple[Share, ...] = partitioner(
            self.panel, settings.federation.n_participants, settings.seed
        )
        self._federation = settings.federation

    @staticmethod
    def of(settings: Settings, kept_in: Path | None = None) -> "Holdings":
        """As the constructor, but loaded once in a process for the same settings."""
        key = settings.model_copy(update={"out": "", "resume": False, "progress": "none"})
        return _loaded(key.to_json(), kept_in)

    @property
    def n_participants(self) -> int:
        """How many shares there are."""
        return len(self.shares)

    def panel_of(self, participant: int) -> Panel:
        """What one participant holds.

        Raises
        ------
        ConfigurationError
            If there is no such participant.
        """
        if not 0 <= participant < self.n_participants:
            raise ConfigurationError(
                f"there is no participant {participant}: the data is split among "
                f"{self.n_participants} (federation.n_participants)."
            )
        return cut(self.panel, self.shares[participant])

    def sample(
        self, participant: int, episode: EpisodeRecord, calendar: NDArray[np.datetime64]
    ) -> Sample:
        """What of a participant's prices belongs to an episode."""
        panel = self.panel_of(participant)
        share_bars = self.shares[participant].history_bars
        history_bars = self._federation.history_of(participant, self.n_participants, episode.fold)
        if share_bars is not None:
            history_bars = min(history_bars, share_bars)
        origin = np.datetime64(episode.origin, "s")
        window = history_window(
            panel,
            origin=origin,
            history_bars=history_bars,
            test_end=np.datetime64(episode.test_end, "s"),
            calendar=calendar,
        )
        return Sample.take(window, calendar=calendar, origin=origin, n_skip=episode.n_skip)

    def _check_variance(self) -> None:
        for asset, close in zip(self.panel.assets, self.panel.close.T, strict=True):
            known = close[np.isfinite(close)]
            if not known.size or np.ptp(known) == 0.0:
                raise DataError(
                    f"asset {asset} has no variance: its price never changes. "
                    "Leave it out with data.assets."
                )


@lru_cache(maxsize=4)
def _loaded(settings_json: str, kept_in: Path | None) -> Holdings:
    return Holdings(Settings.from_json(settings_json), kept_in)
