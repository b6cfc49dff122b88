"""How much may be spent, and in which time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, inf
from typing import Final, Literal, NamedTuple, TypeAlias

from fedtrade.errors import BudgetError, LedgerError
from fedtrade.privacy.checks import LARGEST_DELTA

__all__ = ["AccountantName", "Budget", "Window", "date_text"]

AccountantName: TypeAlias = Literal["pld", "rdp", "sum"]

_ACCOUNTANTS: Final = ("pld", "rdp", "sum")
_DAY_S: Final = 86400.0
_SHORTEST_DAYS: Final = 1.0


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
    renews_from : float or None
        From when the days of `renews_days` count, if not from `starts`: the first window is so
        much longer.
    units : int or None
        How many are protected, if that was said; `delta` is below one over it.
    settings : str or None
        JSON of the settings of a node that it was made of; None if it was set by hand alone.
    """

    epsilon: float
    delta: float
    starts: float
    ends: float = inf
    renews_days: float | None = None
    accountant: AccountantName = "pld"
    renews_from: float | None = None
    units: int | None = None
    settings: str | None = None

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
        if self.renews_from is not None and not self.starts <= self.renews_from < inf:
            raise LedgerError(f"renews_from={self.renews_from!r} must not come before the start.")
        if self.units is not None and (type(self.units) is not int or self.units < 1):
            raise LedgerError(f"units={self.units!r} of a budget must be a whole number from 1.")

    def check_sound(self) -> None:
        """Refuse to put in force what promises nothing; what a file has can be read all the same.

        Raises
        ------
        LedgerError
        """
        if self.renews_days is not None and self.renews_days < _SHORTEST_DAYS:
            raise LedgerError(
                f"renews_days={self.renews_days:g} must be at least {_SHORTEST_DAYS:g}: a budget "
                "that renews sooner caps nothing."
            )
        if self.delta >= LARGEST_DELTA:
            raise LedgerError(
                f"delta={self.delta:g} of a budget must be below {LARGEST_DELTA:g}, as a promise "
                "that fails one time in ten is none; take one well below one over the number of "
                "those who are protected, such as 1e-5."
            )
        if self.units is not None and self.delta * self.units >= 1.0:
            raise LedgerError(
                f"delta={self.delta:g} of a budget must be below 1/{self.units}="
                f"{1.0 / self.units:g}: otherwise one of those who are protected may be given away "
                "whole; set a smaller delta."
            )

    def window(self, at: float) -> Window:
        """The window in which a time lies, or the nearest if the budget is not valid then."""
        if self.renews_days is None:
            return Window(self.starts, self.ends)
        start, end = self._renewal(at, self.renews_days)
        return Window(start, min(end, self.ends))

    def followed(self, renews_days: float | None, at: float) -> tuple[float, float | None]:
        """`starts` and `renews_from` of a budget in the place of this one that gives nothing back.

        It begins with the window in which this one is. If it renews after another number of days
        these count from now.
        """
        start = self.window(at).start
        if renews_days is None:
            return start, None
        if renews_days == self.renews_days:
            anchor = self._renewal(at, renews_days).end - renews_days * _DAY_S
        else:
            anchor = at
        return start, anchor if anchor > start else None

    def _renewal(self, at: float, renews_days: float) -> Window:
        """The window of a time, as if the budget had no end."""
        length = renews_days * _DAY_S
        anchor = self.starts if self.renews_from is None else self.renews_from
        last = max(self.starts, at if at < self.ends else self.ends - 1e-3)
        n_renewals = max(0, floor((last - anchor) / length))
        start = anchor + n_renewals * length
        return Window(start if n_renewals else self.starts, start + length)

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


def date_text(at: float) -> str:
    """Seconds since 1970 as a date and time in UTC, to the second."""
    if at == inf:
        return "never"
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at!r} s"
