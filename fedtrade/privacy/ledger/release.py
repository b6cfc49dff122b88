"""What one round of a run costs an account, by its noise, as a participant's node charges it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.events import Concentrated, Event, Gaussian
from fedtrade.privacy.groups import CHANGED, group_event
from fedtrade.privacy.units import Unit

__all__ = ["NoiseOn", "Release"]

NoiseOn: TypeAlias = Literal["sums", "training"]


@dataclass(frozen=True, slots=True)
class Release:
    """A round of training as it is charged to the account of a unit.

    Attributes
    ----------
    unit : {"label", "record", "participant"}
    noise_on : {"sums", "training"}
        Noise on sums is discrete, so that it is known to be rho-zCDP and no more. It hides a
        participant that might as well be zero; all that is less than a participant changes its
        contribution to another one, which is twice as far away. Noise in training is the
        Gaussian noise of DP-SGD, and protects no participant.
    sampling_probability : float
        Of each record in each step of training.
    n_steps : int
        Of training, in a round.
    unit_records : int or None
        Records of training that one unit is part of; a label is in one (None) where labels are of
        one bar.

    Raises
    ------
    ConfigurationError
        If there is no such release.
    """

    unit: Unit
    noise_on: NoiseOn = "sums"
    sampling_probability: float = 1.0
    n_steps: int = 1
    unit_records: int | None = None

    def __post_init__(self) -> None:
        if self.noise_on == "sums":
            if (self.sampling_probability, self.n_steps, self.unit_records) != (1.0, 1, None):
                raise ConfigurationError(
                    "a round with noise on sums has no sampling, steps or records that count: "
                    "leave them out, or plan noise on training."
                )
        elif self.unit == "participant":
            raise ConfigurationError(
                "noise on training protects no unit=participant; plan noise on sums, or for "
                "another unit."
            )
        elif self.unit != "label" and self.unit_records is None:
            raise ConfigurationError(
                f"a {self.unit} is part of several records of training: say of how many "
                "(look_back_bars of privacy.record)."
            )

    def event(self, noise_multiplier: float) -> Event:
        """What a round costs; noise is measured in clips.

        Raises
        ------
        AccountingError
            If a value is out of range.
        """
        gaussian = Gaussian(noise_multiplier, self.sampling_probability, self.n_steps)
        if self.noise_on == "training":
            return group_event(gaussian, self.unit_records or 1)
        whole = Concentrated(0.5 / noise_multiplier / noise_multiplier)
        return whole if self.unit == "participant" else group_event(whole, CHANGED)
