"""What a participant lets runs tell of its data, in one run and in all together."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from fedtrade.privacy.checks import LARGEST_DELTA
from fedtrade.privacy.units import UNITS, Unit
from fedtrade.settings_record import SettingsRecord

__all__ = ["Cap", "Level", "PrivacyLimits"]

Level: TypeAlias = Literal["none", "label", "record", "participant"]

Epsilon = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Delta = Annotated[float, Field(gt=0.0, lt=LARGEST_DELTA)]


class Cap(SettingsRecord):
    """The most that may be told of one unit, see `fedtrade.privacy.units`.

    Attributes
    ----------
    epsilon, delta : float
        Of all runs together, in the participant's ledger.
    renews_days : float or None
        After so many days, 1 or more, they may be spent again.
    accountant : {"pld", "rdp", "sum"}
        Which adds up.
    units : int or None
        How many are protected; `delta` must be below one over it.
    run_epsilon, run_delta : float or None
        The most that one run may tell, with all of its models.
    """

    epsilon: Epsilon
    delta: Delta = 1e-5
    renews_days: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] | None = None
    accountant: Literal["pld", "rdp", "sum"] = "pld"
    units: Annotated[int, Field(ge=1)] | None = None
    run_epsilon: Epsilon | None = None
    run_delta: Delta | None = None

    @model_validator(mode="after")
    def _protects_all_units(self) -> Self:
        for name in ("delta", "run_delta"):
            delta = getattr(self, name)
            if self.units is not None and delta is not None and delta * self.units >= 1.0:
                raise ValueError(f"{name}={delta:g} must be below 1/units={1.0 / self.units:g}")
        return self


class PrivacyLimits(SettingsRecord):
    """What a participant's own machine keeps to.

    Attributes
    ----------
    least : {"none", "label", "record", "participant"}
        The least that a run must protect by noise. A participant is more than a record, and a
        record, which is a day of returns in all that they do, is more than a day as a label.
    exact_noise : bool
        Whether noise in training must be exact, if there must be any.
    uncovered : tuple of {"sums", "scores"}
        What may leave outside of that protection, if there must be any.
    participant, record, label : Cap or None
        Budgets. A run that does not protect what is capped is refused. Without a cap what is
        spent is kept in the ledger all the same, and a budget that was set there holds.
    dataset : str
        Name of the participant's data in the ledger.
    ledger : str
        File in the folder `state`.
    """

    least: Level = "none"
    uncovered: tuple[Literal["sums", "scores"], ...] = ("scores",)
    participant: Cap | None = None
    record: Cap | None = None
    label: Cap | None = None
    exact_noise: bool = True
    dataset: Annotated[str, Field(min_length=1)] = "prices"
    ledger: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "privacy.sqlite"

    @property
    def demanded(self) -> Level:
        """The least protection that follows from all of it."""
        capped: list[Level] = [unit for unit in UNITS if self.cap(unit) is not None]
        return max([self.least, *capped], key=("none", *UNITS).index)

    def cap(self, unit: Unit) -> Cap | None:
        """The budget for a unit."""
        caps = {"label": self.label, "record": self.record, "participant": self.participant}
        return caps[unit]
