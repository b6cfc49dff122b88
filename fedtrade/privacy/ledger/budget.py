"""How much may be spent, and in which time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, inf
from typing import Final, Literal, NamedTuple, TypeAlias

from fedtrade.errors import BudgetError, LedgerError

__all__ = ["AccountantName", "Budget", "Window", "date_text", "most"]

AccountantName: TypeAlias = Literal["pld", "rdp", "sum"]

_ACCOUNTANTS: Final = ("pld", "rdp", "sum")
_DAY_S: Final = 86400.0
_ROUNDING: Final = 1e-9


class Window(NamedTuple):
    """Seconds since 1970, from `start` on and before `end`, which may be infinite."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Everything that is released within a window must together be (epsilon, delta)-DP.

    Attributes
    ----------
    epsilon, delta : float
    starts, ends : float
        Seconds since 1970; nothing can be spent before or from then on. `ends` may be infinite.
    renews_days : float or None
        After so many days a new window begins, in which nothing is spent yet: what was spent in
        all windows together is more than `epsilon`. None for one window from `starts` to `ends`.
    accountant : {"pld", "rdp", "sum"}
        Which adds up; `sum` is the one that anybody can redo by hand.
    """

    epsilon: float
    delta: float
    starts: float
    ends: float = inf
    renews_days: float | None = None
    accountant: AccountantName = "pld"

    def __post_init__(self) -> None:
        if not 0.0 < self.epsilon < inf:
            raise LedgerError(f"epsilon={self.epsilon:g} of a budget must be a positive number.")
        if not 0.0 < self.delta < 1.0:
            raise LedgerError(
                f"delta={self.delta:g} of a budget must lie between 0 and 1; take one well below "
                "one over the number of those who are protected, such as 1e-5."
            )
        if not abs(self.starts) < inf or not self.ends > self.starts:
            raise LedgerError(
                f"the budget's end {date_text(self.ends)} must come after its start "
                f"{date_text(self.starts)}."
            )
        if self.renews_days is not None and not 0.0 < self.renews_days < inf:
            raise LedgerError(f"renews_days={self.renews_days:g} must be a positive number.")
        if self.accountant not in _ACCOUNTANTS:
            raise LedgerError(
                f"accountant={self.accountant!r} of a budget is none of {', '.join(_ACCOUNTANTS)}."
            )

    def window(self, at: float) -> Window:
        """The window in which a time lies, or the nearest if the budget is not valid then."""
        if self.renews_days is None:
            return Window(self.starts, self.ends)
        length = self.renews_days * _DAY_S
        last = max(self.starts, at if at < self.ends else self.ends - 1e-3)
        start = self.starts + floor((last - self.starts) / length) * length
        return Window(start, min(start + length, self.ends))

    def check_valid(self, at: float) -> None:
        """Refuse a time at which nothing may be spent.

        Raises
        ------
        BudgetError
        """
        if at < self.starts:
            raise BudgetError(
                f"nothing is left of the privacy budget: it begins on {date_text(self.starts)}."
            )
        if at >= self.ends:
            raise BudgetError(
                f"nothing is left of the privacy budget: it ended on {date_text(self.ends)}; set "
                "a new one with `fedtrade privacy set-budget`."
            )


def most(epsilon: float) -> float:
    """What may be spent of a budget: sums of numbers that are not exact may exceed it a little."""
    return epsilon * (1.0 + _ROUNDING)


def date_text(at: float) -> str:
    """Seconds since 1970 as a date and time in UTC, to the second."""
    if at == inf:
        return "never"
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at!r} s"
