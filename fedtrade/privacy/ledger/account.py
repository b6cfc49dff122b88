"""Whose privacy is accounted, in which data, and what is hidden by it."""

from dataclasses import dataclass

from fedtrade.errors import LedgerError
from fedtrade.privacy.units import UNITS, Unit

__all__ = ["Account"]


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """One participant's one data set; budgets and spendings belong to an account.

    Attributes
    ----------
    participant : str
    dataset : str
        Its name; what is released of one data set costs another nothing.
    unit : {"label", "record", "participant"}
        They are different promises, whose epsilons must not be added up.
    """

    participant: str
    dataset: str = "prices"
    unit: Unit = "participant"

    def __post_init__(self) -> None:
        for name in ("participant", "dataset"):
            value = getattr(self, name)
            if not value or not value.isprintable():
                raise LedgerError(f"{name}={value!r} must be a name in printable characters.")
        if self.unit not in UNITS:
            raise LedgerError(f"unit={self.unit!r} is none of {', '.join(UNITS)}.")

    def __str__(self) -> str:
        return f"{self.participant}/{self.dataset} ({self.unit})"
