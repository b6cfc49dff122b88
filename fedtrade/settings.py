"""The resolved configuration of one run as typed values.

Composed once from `conf/`, validated here, and sent as one JSON string to wherever the apps run.
Every refusal names the key that was wrong.
"""

import hashlib
import json
import math
from copy import deepcopy
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.settings import Privacy
from fedtrade.secure.settings import Aggregation, PlainAggregation, PrivateAggregation
from fedtrade.settings_record import SettingsRecord

__all__ = ["BY_PARTICIPANT", "SUMMED", "Component", "Evaluation", "Federation", "Settings"]

BY_PARTICIPANT: Final = "by_participant"
SUMMED: Final = "summed"
Scores: TypeAlias = Literal["by_participant", "summed"]
"""Whether the server sees each participant's scores, or only their sum."""


class Component(BaseModel):
    """Something chosen by name: `_target_` is its import path, the rest its keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    target: Annotated[str, Field(alias="_target_", pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")]

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for the target, its own to change: settings are shared and kept."""
        return deepcopy(dict(self.model_extra or {}))


class Federation(SettingsRecord):
    """Who takes part, how much of the past each one knows at an origin, and who is waited for.

    Attributes
    ----------
    n_participants : int or None
        None for as many as the data give.
    setting : {"same_history", "cold_start"}
    history_bars, incumbent_bars : int
        Known at an origin to everybody, or in a cold start to newcomers and to incumbents.
    rounds : int
        Of training in each episode.
    reply_timeout_s : float
        How long a reply is waited for; also the time to live of the message that asks for it.
    join_timeout_s : float or None
        How long the nodes of a run are waited for when it begins; None for `reply_timeout_s`.
    quorum : float or None
        Share of the participants asked in a round whose replies close it; None waits for all.
    least_holders : int
        See `strategies.membership.shared_calendar`.
    """

    n_participants: Annotated[int, Field(ge=1)] | None
    setting: Literal["same_history", "cold_start"]
    history_bars: Annotated[int, Field(ge=1)]
    incumbent_bars: Annotated[int, Field(ge=1)] | None = None
    rounds: Annotated[int, Field(ge=0)]
    reply_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    join_timeout_s: Annotated[float, Field(gt=0)] | None = None
    quorum: Annotated[float, Field(gt=0, le=1)] | None = None
    least_holders: Annotated[int, Field(ge=1)] = 2

    @model_validator(mode="after")
    def _check_cold_start(self) -> "Federation":
        if self.setting == "cold_start":
            if self.incumbent_bars is None or self.incumbent_bars <= self.history_bars:
                raise ValueError(
                    f"incumbent_bars={self.incumbent_bars} must exceed the newcomers' "
                    f"history_bars={self.history_bars}"
                )
            if self.n_participants is not None and self.n_participants < 2:
                raise ValueError(
                    "n_participants=1 leaves nobody to join; use at least 2, "
                    "or federation=same_history (or federation=small)"
                )
        return self

    @property
    def join_s(self) -> float:
        """`join_timeout_s`, or what stands for it."""
        return self.reply_timeout_s if self.join_timeout_s is None else self.join_timeout_s

    def n_quorum(self, n_asked: int) -> int:
        """Replies that close a round in which so many were asked."""
        return n_asked if self.quorum is None else math.ceil(self.quorum * n_asked - 1e-9)

    @property
    def n_folds(self) -> int:
        """Arrangements of the participants at each origin: in a cold start the halves swap."""
        return 2 if self.setting == "cold_start" else 1

    @property
    def longest_history_bars(self) -> int:
        """Bars that the best-informed participant knows."""
        return self.incumbent_bars or self.history_bars

    def is_newcomer(self, participant: int, n_participants: int, fold: int) -> bool:
        """Whether it joins late in this fold: one half in the first, then the other.

        Nobody does in the fold -1 of the final model.
        """
        if self.setting != "cold_start" or fold < 0:
            return False
        in_first_half = participant < (n_participants + 1) // 2
        return in_first_half == (fold == 0)

    def history_of(self, participant: int, n_participants: int, fold: int) -> int:
        """Bars up to and including the origin that the participant knows."""
        if self.is_newcomer(participant, n_participants, fold):
            return self.history_bars
        return self.longest_history_bars

    def is_scored(self, participant: int, n_participants: int, fold: int) -> bool:
        """Whether its forecasts count: newcomers in a cold start, otherwise everybody."""
        return self.setting == "same_history" or self.is_newcomer(participant, n_participants, fold)

    def n_scored(self, n_participants: int, fold: int) -> int:
        """Of so many participants."""
        return sum(self.is_scored(k, n_participants, fold) for k in range(n_participants))


class Evaluation(SettingsRecord):
    """Where training ends, what it is compared with, and who sees the scores."""

    test_bars: Annotated[int, Field(ge=1)]
    n_origins: Annotated[int, Field(ge=1)] | None
    embargo_bars: Annotated[int, Field(ge=0)] = 0
    pooled: bool = True
    show_path: bool = True
    scores: Scores | None = None
    public_bars: Annotated[int, Field(ge=0)] = 0
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 2000


class Settings(SettingsRecord):
    """Everything that one run needs to know."""

    seed: Annotated[int, Field(ge=0)]
    out: str
    resume: bool
    progress: Literal["auto", "plain", "none"]
    task: Component
    data: Component
    partition: Component
    model: Component
    strategy: Component
    aggregation: Aggregation = PlainAggregation()
    privacy: Privacy = Privacy()
    attack: Component | None
    runtime: Component
    federation: Federation
    evaluation: Evaluation

    @property
    def n_nodes(self) -> int | None:
        """Participants and those in other roles; None if any number may come."""
        n = self.federation.n_participants
        return None if n is None else n + self.aggregation.n_key_holders

    def count_models(self) -> int:
        """Models that a run trains: one for each origin and fold, and the final one.

        Raises
        ------
        ConfigurationError
            If only the data tell.
        """
        n_origins = self.evaluation.n_origins
        if n_origins is None:
            raise ConfigurationError(
                "privacy reckons with the number of models that a run trains, and "
                "evaluation.n_origins=null leaves it to the data: set it to a number."
            )
        return n_origins * self.federation.n_folds + 1

    @property
    def least_holders(self) -> int:
        """Participants that must hold a bar; sums of private modes show no fewer there."""
        least = self.federation.least_holders
        if isinstance(self.aggregation, PrivateAggregation):
            return max(least, self.aggregation.min_contributors)
        return least

    @field_validator("attack", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None  # conf/attack/none.yaml has no keys

    @model_validator(mode="after")
    def _check_population(self) -> "Settings":
        if self.federation.n_participants is not None:
            self.privacy.check_population(self.federation.n_participants)
        self.privacy.check_history(self.federation.longest_history_bars)
        return self

    @staticmethod
    @lru_cache(maxsize=8)
    def from_json(text: str) -> "Settings":
        """Read back what `to_json` wrote."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"the settings are not valid JSON: {error}.") from None
        return Settings.from_mapping(values)

    @property
    def scores(self) -> Scores:
        """`evaluation.scores`, or by default what the trust mode allows."""
        if self.evaluation.scores is not None:
            return self.evaluation.scores
        return BY_PARTICIPANT if isinstance(self.aggregation, PlainAggregation) else SUMMED

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_mapping(), separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of all settings, in hexadecimal: the same wherever they are the same."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
