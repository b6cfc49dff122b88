"""What many releases cost together."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Final, Protocol

from fedtrade.errors import AccountingError
from fedtrade.privacy.events import Event

__all__ = ["ACCOUNTANTS", "Accountant", "accountant", "spent"]

ACCOUNTANTS: Final[Mapping[str, str]] = {
    "pld": "fedtrade.privacy.accountants.pld.PLDAccountant",
    "prv": "fedtrade.privacy.accountants.prv.PRVAccountant",
    "rdp": "fedtrade.privacy.accountants.rdp.RDPAccountant",
    "sum": "fedtrade.privacy.accountants.basic.SumAccountant",
}
"""Names that settings may choose, and what they stand for."""


class Accountant(Protocol):
    """Adds up events, each of which may depend on the outcomes of earlier ones.

    Every answer is an upper bound; how tight it is says each one's own docstring.
    """

    name: str

    def compose(self, event: Event) -> None:
        """Add what was released.

        Raises
        ------
        AccountingError
            If the accountant has no bound for it; what was added before stays.
        """
        ...

    def epsilon(self, delta: float) -> float:
        """The epsilon for which everything together is (epsilon, delta)-DP; may be infinite.

        Raises
        ------
        AccountingError
            If `delta` is not in (0, 1).
        """
        ...

    def delta(self, epsilon: float) -> float:
        """The delta for which everything together is (epsilon, delta)-DP; at most 1.

        Raises
        ------
        AccountingError
            If `epsilon` is negative or not a number.
        """
        ...


def accountant(name: str) -> Accountant:
    """A new accountant that has seen nothing yet: `pld`, `prv`, `rdp` or `sum`.

    Raises
    ------
    AccountingError
        If there is none of this name.
    """
    return _new(name)


def spent(events: Iterable[Event], delta: float, accountant: str = "pld") -> float:
    """The epsilon of all events together at `delta`; 0 if there are none.

    Raises
    ------
    AccountingError
        If `delta` is not in (0, 1), or the accountant has no bound for an event.
    """
    own = _new(accountant)
    for event in events:
        own.compose(event)
    return own.epsilon(delta)


def _new(name: str) -> Accountant:
    if name not in ACCOUNTANTS:
        raise AccountingError(f"accountant={name!r} is none of {', '.join(ACCOUNTANTS)}.")
    module, _, attribute = ACCOUNTANTS[name].rpartition(".")
    make: Callable[[], Accountant] = getattr(import_module(module), attribute)
    return make()
