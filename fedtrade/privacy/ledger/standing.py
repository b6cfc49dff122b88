"""How an account stands: what may be spent, what was, and what is left."""

from dataclasses import dataclass
from math import inf

from fedtrade.privacy.ledger.account import Account
from fedtrade.privacy.ledger.budget import AccountantName, Budget, Window

__all__ = ["DEFAULT_DELTA", "Standing", "measured_by"]

DEFAULT_DELTA = 1e-5
"""At which the epsilon of an account is told that has no budget."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An account at a time.

    Attributes
    ----------
    account : Account
    budget : Budget or None
        None caps nothing; what is spent is kept all the same.
    window : Window
        In which `spent` counts.
    at : float
        Seconds since 1970, by the ledger's clock, which never goes back.
    spent : float
        Epsilon of everything that was allocated in the window and not released, at the budget's
        delta. It is at least what was consumed: an operation that was broken off counts.
    """

    account: Account
    budget: Budget | None
    window: Window
    at: float
    spent: float

    @property
    def delta(self) -> float:
        """At which `spent` is meant."""
        return measured_by(self.budget)[0]

    @property
    def remaining(self) -> float:
        """The epsilon that a budget has more than was spent; 0 outside of its time.

        A mechanism that is epsilon-DP, without a delta, fits if it is so good (up to the 1e-4 by
        which an accountant rounds). Of others more or less may fit, as epsilons with a delta do
        not simply add up. Infinite without a budget.
        """
        if self.budget is None:
            return inf
        if not self.budget.starts <= self.at < self.budget.ends:
            return 0.0
        return max(0.0, self.budget.epsilon - self.spent)


def measured_by(budget: Budget | None) -> tuple[float, AccountantName]:
    """The delta and the accountant by which epsilon is told."""
    return (DEFAULT_DELTA, "pld") if budget is None else (budget.delta, budget.accountant)
