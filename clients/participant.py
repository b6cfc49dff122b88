"""One participant: its number, its task and its own prices."""

from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from clients.brought import SETTINGS
from clients.local_rules import local_settings_of
from clients.roles import is_key_holder
from conf import resolve
from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.holdings import Holdings, build_task
from fedtrade.market import Panel
from fedtrade.nodes.local_settings import PRICES
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.privacy.participant.run import noisy_vectors
from fedtrade.settings import Settings
from fedtrade.summed_scores import check_summed_scores
from fedtrade.tasks import Sample, Task
from fedtrade.wire import EpisodeRecord

__all__ = ["Participant"]


class Participant:
    """What a participant computes with.

    Parameters
    ----------
    settings : Settings
        Of the whole run.
    number : int
        Which of the participants this is, from 0.
    kept_in : Path or None
        Folder where its prices are kept as they were read; None reads them anew.

    Attributes
    ----------
    n_known : int
        Participants of the run, present or not; 0 if its settings do not say.
    aggregation : PlainAggregation, MaskedAggregation or EncryptedAggregation
        How what it computes may leave it.
    show_path : bool
        Whether one asset's returns and forecasts may leave it, for a picture.
    privacy : Privacy
        What it hides by noise.
    n_rounds : int
        Of training of one model.
    scores : {"by_participant", "summed"}
        Whether its scores may leave it as they are, or only in a sum with others'.
    """

    def __init__(self, settings: Settings, number: int, kept_in: Path | None = None) -> None:
        self.number = number
        self.aggregation = settings.aggregation
        self.n_known = settings.federation.n_participants or 0
        self.show_path = settings.evaluation.show_path
        self.privacy = settings.privacy
        self.n_rounds = settings.federation.rounds
        self.scores = settings.scores
        self._settings = settings
        self._kept_in = kept_in

    # What messages of private sums do not need is made when it is needed.

    @cached_property
    def task(self) -> Task:
        """What is learned."""
        return build_task(self._settings)

    @cached_property
    def noise(self) -> NoisyVectors | None:
        """What protects it in what is added up; None if nothing does.

        Raises
        ------
        ConfigurationError
            As `fedtrade.privacy.participant.run.noisy_vectors`.
        """
        if self._settings.privacy.participant is None:
            return None
        return noisy_vectors(self._settings, self.task)

    @property
    def n_models(self) -> int | None:
        """Episodes of the run; None if only the data tell."""
        if self._settings.evaluation.n_origins is None:
            return None
        return self._settings.count_models()

    @property
    def most_rounds(self) -> int:
        """Of training in a run, of all models together.

        Raises
        ------
        ConfigurationError
            If only the data tell how many models there are.
        """
        return self._settings.count_models() * self.n_rounds

    @property
    def bars(self) -> NDArray[np.datetime64]:
        """All bars that it holds, datetime64 of shape (n_bars,)."""
        return self._panel.bars

    @property
    def n_assets(self) -> int:
        """How many assets' prices it holds."""
        return self._panel.n_assets

    @cached_property
    def _panel(self) -> Panel:
        return self._holdings.panel_of(self.number)

    @cached_property
    def _holdings(self) -> Holdings:
        return Holdings.of(self._settings, self._kept_in)

    @classmethod
    def of(cls, context: Context) -> "Participant":
        """The participant that a node stands for; its data is loaded once in a process.

        Raises
        ------
        ConfigurationError
            If the node has no `partition-id`.
        ProtocolError
            If the node is a key holder, who has no data and opens none.
        """
        if is_key_holder(context):
            raise ProtocolError("the node holds the key, and is no participant: it has no data.")
        number = context.node_config.get("partition-id")
        if not isinstance(number, int):
            raise ConfigurationError(
                f"the node's config has partition-id={number!r}; start it with a whole number."
            )
        settings = str(context.run_config.get(SETTINGS, ""))
        return _participant(settings, number, _place_of_prices(context))

    def is_scored(self, episode: EpisodeRecord) -> bool:
        """Whether its forecasts count in an episode."""
        federation, n_participants = self._settings.federation, self._holdings.n_participants
        return federation.is_scored(self.number, n_participants, episode.fold)

    def check_corrected(self) -> None:
        """Refuse to correct training where its own settings name no correction.

        Raises
        ------
        ProtocolError
        """
        if not self._settings.strategy.options.get("client_correction"):
            raise ProtocolError(
                "the message asks to correct local training, and the settings of this private run "
                "name no strategy.client_correction."
            )

    def check_summed_scores(self) -> None:
        """Refuse to add to a sum of scores that might show its own.

        Raises
        ------
        ConfigurationError
            If by its own settings too few others add theirs.
        """
        check_summed_scores(self._settings, self._holdings.n_participants)

    def sample(self, episode: EpisodeRecord, calendar: NDArray[np.datetime64]) -> Sample:
        """Its prices that belong to an episode."""
        return self._holdings.sample(self.number, episode, calendar)


def _place_of_prices(context: Context) -> Path | None:
    local = local_settings_of(context)
    return Path(local.state) / PRICES if local is not None and local.keep_prices else None


@lru_cache(maxsize=1024)
def _participant(settings_json: str, number: int, kept_in: Path | None) -> Participant:
    return Participant(resolve(settings_json), number, kept_in)
