"""Settings of differential privacy: whose data a run must not tell of, and how little it may."""

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fedtrade.privacy.checks import LARGEST_DELTA
from fedtrade.settings_record import SettingsRecord

__all__ = ["AdaptiveClip", "Covered", "ParticipantLevel", "Privacy", "RecordLevel"]

Epsilon = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Delta = Annotated[float, Field(gt=0.0, lt=LARGEST_DELTA)]
Clip = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Covered: TypeAlias = Literal["sums", "scores"]


class RecordLevel(SettingsRecord):
    """Protect one record of a participant, by DP-SGD in its own training.

    Attributes
    ----------
    epsilon, delta : float
        Of one record, over all rounds of training of one model. A run that is evaluated trains a
        model at each origin; what they come to together is stated.
    clip : float
        Largest Euclidean norm of one record's gradient.
    unit : {"day", "label"}
        What a record is. `day`: all that the returns of one bar do in the training, as labels and
        in the features of later bars. `label`: what they do as labels alone.
    look_back_bars : int
        With `day`, features look back no further than this: a bar is then part of the gradients
        of at most as many bars.
    sampling_probability : float
        With which a bar's gradient is in a step, independently of others (Poisson sampling).
    secure_noise : bool
        Whether noise is exact, from the operating system's generator; or else in floating point,
        whose low bits can tell (Mironov 2012).
    accountant : {"pld", "prv", "rdp"}
    """

    epsilon: Epsilon = 8.0
    delta: Delta = 1e-5
    clip: Clip = 8.0
    unit: Literal["day", "label"] = "day"
    look_back_bars: Annotated[int, Field(ge=44, multiple_of=2)] = 64
    sampling_probability: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    secure_noise: bool = True
    accountant: Literal["pld", "prv", "rdp"] = "pld"

    @property
    def longest_look_back(self) -> int | None:
        """`look_back_bars` where it matters."""
        return self.look_back_bars if self.unit == "day" else None

    def unit_records(self, horizon_bars: int) -> int:
        """Bars whose gradients one record is part of, where labels are of so many bars each."""
        return self.look_back_bars if self.unit == "day" else horizon_bars


class AdaptiveClip(SettingsRecord):
    """A clip that follows a quantile of the updates' norms: Andrew et al. (2021), algorithm 1.

    https://arxiv.org/abs/1905.03871

    Attributes
    ----------
    target_quantile : float
        Share of the updates that are to be within the clip.
    learning_rate : float
        Of the clip's logarithm.
    count_noise : float
        Standard deviation of the noise on the number of updates within the clip.
    """

    target_quantile: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    learning_rate: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 0.2
    count_noise: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 2.0


class ParticipantLevel(SettingsRecord):
    """Protect all that a participant contributes, by noise on what is added up.

    Attributes
    ----------
    epsilon, delta : float
        Of one participant's whole contribution to what `scope` names.
    scope : {"run", "model"}
        Whether they hold over all models of a run, or for each. A run that is evaluated trains
        a model at each origin; what they come to together is stated with `model`, too.
    clip : float
        Largest Euclidean norm of an update; with `adaptive` at first.
    adaptive : AdaptiveClip or None
    sum_clip : float
        Largest Euclidean norm of a part of a federated sum; a larger one is scaled down.
    sum_share : float
        Share of the privacy that goes to federated sums, if a task has any and they are covered.
    exclude : tuple of {"sums", "scores"}
        What leaves without noise, and is outside of the guarantee.
    accountant : {"rdp"}
        Discrete noise on many values at once has no tighter bound that is published.
    """

    epsilon: Epsilon = 8.0
    delta: Delta = 1e-5
    scope: Literal["run", "model"] = "run"
    clip: Clip = 0.1
    adaptive: AdaptiveClip | None = None
    sum_clip: Clip = 1.0
    sum_share: Share = 0.5
    exclude: tuple[Covered, ...] = ("scores",)
    accountant: Literal["rdp"] = "rdp"


class Privacy(SettingsRecord):
    """What is protected by noise; by default nothing.

    Attributes
    ----------
    record : RecordLevel or None
    participant : ParticipantLevel or None
    """

    record: RecordLevel | None = None
    participant: ParticipantLevel | None = None

    def check_population(self, n_participants: int) -> None:
        """Refuse a delta at which whole participants could be given away.

        Parameters
        ----------
        n_participants : int
            Of the run, at least 1.

        Raises
        ------
        ValueError
            Naming the key.
        """
        level = self.participant
        if level is None:
            return
        if n_participants < 2:
            raise ValueError(
                f"privacy.participant hides one among several participants, and there "
                f"is {n_participants}; use privacy=record, or at least 2 participants"
            )
        if not level.delta < 1.0 / n_participants:
            raise ValueError(
                f"privacy.participant.delta={level.delta:g} must be below 1 / {n_participants} "
                "(participants): a larger one allows showing one of them outright; "
                f"take {_below(1.0 / n_participants):g}"
            )

    def check_history(self, n_days: int) -> None:
        """Refuse a delta at which whole days could be given away.

        Parameters
        ----------
        n_days : int
            Of the longest history that a participant trains on, at least 1.

        Raises
        ------
        ValueError
            Naming the key.
        """
        level = self.record
        if level is not None and not level.delta < 1.0 / n_days:
            raise ValueError(
                f"privacy.record.delta={level.delta:g} must be below 1 / {n_days} (days of a "
                "participant's history): a larger one allows showing one of them outright; "
                f"take {_below(1.0 / n_days):g}"
            )


def _below(bound: float) -> float:
    """A power of ten well below."""
    return float(10.0 ** (math.floor(math.log10(bound)) - 1))
