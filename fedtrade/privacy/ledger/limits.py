"""What a node's settings say of a budget, beside what is set by hand."""

import json
from dataclasses import asdict, dataclass
from typing import Final

from fedtrade.privacy.ledger.budget import AccountantName, Budget

__all__ = ["Limits"]

_TIGHTEST_FIRST: Final[tuple[AccountantName, ...]] = ("pld", "rdp", "sum")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the settings; see `Budget` for each of them."""

    epsilon: float
    delta: float
    renews_days: float | None = None
    accountant: AccountantName = "pld"
    units: int | None = None

    def to_json(self) -> str:
        """By which a budget that was made of them is known."""
        return json.dumps(asdict(self))

    def within(self, budget: Budget | None) -> "Limits":
        """The stricter of these and of a budget, in each respect.

        The smaller epsilon and delta, the longer renewal (none is the longest), the accountant that
        is less tight.
        """
        if budget is None:
            return self
        renewals = (self.renews_days, budget.renews_days)
        days = [value for value in renewals if value is not None]
        return Limits(
            min(self.epsilon, budget.epsilon),
            min(self.delta, budget.delta),
            max(days) if len(days) == len(renewals) else None,
            max(self.accountant, budget.accountant, key=_TIGHTEST_FIRST.index),
            max((value for value in (self.units, budget.units) if value), default=None),
        )
