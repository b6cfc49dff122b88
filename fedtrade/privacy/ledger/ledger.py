"""A participant's own account of its privacy: budgets, what was spent of them, and how it came.

What an operation will release is *allocated* before any of it leaves, and *consumed* once it has,
or *released* if it has not. Whatever was allocated counts as spent unless it was released, so that
a process that is killed in between has spent it.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Connection, Float, bindparam, case, select, update

from fedtrade.errors import BudgetError, LedgerError
from fedtrade.privacy.events import Event
from fedtrade.privacy.ledger import balances, history, schema
from fedtrade.privacy.ledger.account import Account
from fedtrade.privacy.ledger.balances import Balance
from fedtrade.privacy.ledger.budget import AccountantName, Budget, date_text
from fedtrade.privacy.ledger.budget_text import budget_from_json, budget_to_json
from fedtrade.privacy.ledger.composition import Counts, counts_of, fits, is_quick
from fedtrade.privacy.ledger.history import Entry, Opened
from fedtrade.privacy.ledger.limits import Limits
from fedtrade.privacy.ledger.standing import Standing
from fedtrade.privacy.ledger.store import Store

__all__ = ["Charge", "Ledger"]

_AGREES: Final = 1e-6
"""Share by which another version of an accountant may have found less."""

_CLOCK: Final = schema.clock.c.latest
_LATEST: Final = select(_CLOCK)
_NOW: Final = bindparam("now", type_=Float)
_TICK: Final = (
    update(schema.clock).values(latest=case((_CLOCK > _NOW, _CLOCK), else_=_NOW)).returning(_CLOCK)
)


@dataclass(frozen=True, slots=True)
class Charge:
    """What an operation costs one account."""

    account: Account
    events: tuple[Event, ...]


class Ledger:
    """Budgets and spendings in one file, which several processes may use at once.

    Parameters
    ----------
    path : Path
        The file; SQLite keeps two more beside it while it is open.
    create : bool
        Whether to begin one if there is none.
    timeout_s : float
        How long to wait for another process that writes.
    now : callable
        Seconds since 1970. A clock that was set back stands still until it has caught up with
        the latest time that the ledger has seen.

    Raises
    ------
    LedgerError
        If the file is not there, not a ledger, of a newer version, open to others, or cannot be
        used; so does every method.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        timeout_s: float = 30.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = Store(path, create=create, timeout_s=timeout_s)
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def set_budget(
        self,
        account: Account,
        *,
        epsilon: float,
        delta: float,
        starts: float | None = None,
        ends: float = inf,
        renews_days: float | None = None,
        accountant: AccountantName = "pld",
        units: int | None = None,
    ) -> Budget:
        """Put a budget in the place of the one that was in force; see `Budget`.

        By default it begins with the window in which the one before is, or when the account first
        spent something, and if it renews after another number of days these count from now: a new
        budget gives nothing back that was spent. With `starts` it is as new.

        Raises
        ------
        LedgerError
            If the budget promises nothing: see `Budget.check_sound`.
        """
        limits = Limits(float(epsilon), float(delta), renews_days, accountant, units)
        with self._store.writing() as connection:
            at = self._tick(connection)
            number = balances.number_of(connection, account, make=True)
            assert number is not None
            begins = _begins(connection, number, renews_days, at)
            if starts is not None:
                begins = float(starts), None
            return _put_in_force(connection, number, limits, begins, float(ends), at)

    def keep_within(self, account: Account, limits: Limits) -> None:
        """See that the budget in force is within the limits of a node's settings.

        What was last set by hand holds beside them, and the stricter of both in each respect (see
        `Limits.within`), so that settings never loosen it nor take away its end, whether they have
        changed or not. Settings that have changed take the place of those before. Where neither has
        changed nothing is written.

        Raises
        ------
        LedgerError
            If the limits promise nothing: see `Budget.check_sound`.
        """
        settings = limits.to_json()
        budget = self.budget(account)
        if budget is not None and budget.settings == settings:
            return
        with self._store.writing() as connection:
            at = self._tick(connection)
            number = balances.number_of(connection, account, make=True)
            assert number is not None
            by_hand = budget_from_json(history.last_budget(connection, number, by_hand=True))
            strict = limits.within(by_hand)
            begins = _begins(connection, number, strict.renews_days, at)
            ends = inf if by_hand is None else by_hand.ends
            _put_in_force(connection, number, strict, begins, ends, at, settings)

    def allocate(
        self, charges: Iterable[Charge], purpose: Mapping[str, Any] | None = None
    ) -> tuple[int, ...]:
        """Set aside what an operation will release: all of the charges, or none.

        Parameters
        ----------
        purpose : mapping
            Of values that JSON has; it is shown in the history.

        Returns
        -------
        tuple of int
            Numbers for `consume` or `release`.

        Raises
        ------
        BudgetError
            If a budget does not cover its charge; nothing is set aside.
        AccountingError
            If a budget's accountant has no bound for an event.
        """
        numbers = []
        with self._store.writing() as connection:
            at = self._tick(connection)
            for charge in charges:
                number = balances.number_of(connection, charge.account, make=True)
                assert number is not None
                balance = balances.balance_of(connection, number, at)
                asked = counts_of(charge.events)
                spent = _admit(charge.account, balance, asked, at)
                balance.counts.update(asked)
                balances.save_spent(connection, balance, spent)
                detail = json.dumps({"events": asked, "purpose": dict(purpose or {})})
                numbers.append(history.add(connection, at, number, "allocated", detail))
        return tuple(numbers)

    def consume(self, operations: Sequence[int]) -> None:
        """Note that what was allocated has left.

        Raises
        ------
        LedgerError
            If an operation was not allocated, or was consumed or released before.
        """
        with self._store.writing() as connection:
            at = self._tick(connection)
            for operation in operations:
                number = _opened(connection, operation).account
                history.add(connection, at, number, "consumed", operation=operation)

    def release(self, operations: Sequence[int]) -> None:
        """Give back what was allocated, as nothing of it has left, nor will.

        Raises
        ------
        LedgerError
            If an operation was not allocated, or was consumed or released before.
        """
        with self._store.writing() as connection:
            at = self._tick(connection)
            for operation in operations:
                found = _opened(connection, operation)
                number = found.account
                balance = balances.balance_of(connection, number, at)
                if found.time >= balance.window.start:
                    balance.counts.subtract(found.counts)
                balances.save_spent(connection, balance, balance.epsilon_if_quick())
                history.add(connection, at, number, "released", operation=operation)

    def budget(self, account: Account) -> Budget | None:
        """The budget of an account that is in force, or was last; None if it has none."""
        with self._store.reading() as connection:
            number = balances.number_of(connection, account, make=False)
            return None if number is None else balances.budget_of(connection, number)

    def standing(self, account: Account) -> Standing | None:
        """How an account stands; None if the ledger does not know it."""
        with self._store.reading() as connection:
            number = balances.number_of(connection, account, make=False)
            found = balances.standings(connection, self._read_clock(connection), number)
            return None if number is None else next(found)

    def standings(self) -> list[Standing]:
        """How all accounts stand, in the order of their names."""
        with self._store.reading() as connection:
            return list(balances.standings(connection, self._read_clock(connection)))

    def spent_ever(self, account: Account) -> float:
        """Epsilon of all that was ever allocated and not released, whatever the window."""
        with self._store.reading() as connection:
            number = balances.number_of(connection, account, make=False)
            if number is None:
                return 0.0
            balance = balances.balance_of(connection, number, self._read_clock(connection))
            return balance.epsilon(history.recount(connection, number, -inf))

    def counts(self, account: Account) -> Counts:
        """How often each event counts in the present window, by its JSON."""
        with self._store.reading() as connection:
            number = balances.number_of(connection, account, make=False)
            if number is None:
                return {}
            return balances.balance_of(connection, number, self._read_clock(connection)).counts

    def history(self, account: Account | None = None, last: int | None = None) -> list[Entry]:
        """The entries about an account or about all, in order; or the last so many."""
        with self._store.reading() as connection:
            if account is None:
                return list(history.entries(connection, None, last))
            number = balances.number_of(connection, account, make=False)
            return [] if number is None else list(history.entries(connection, number, last))

    def check(self) -> None:
        """See that what is kept of each account beside its history is what the history says.

        Its budget, what is counted, what that comes to, what is known to fit, and the clock.

        Raises
        ------
        LedgerError
            If it is not.
        """
        with self._store.reading() as connection:
            at = self._read_clock(connection)
            if connection.execute(_LATEST).scalar_one() < history.last_time(connection):
                raise _forged("has an earlier time", "all")
            for number, account in balances.accounts(connection):
                _check_balance(connection, number, account, at)

    def clock_behind_s(self) -> float:
        """By how many seconds the clock is behind the latest time that the ledger has seen."""
        with self._store.reading() as connection:
            return max(0.0, self._read_clock(connection) - self._time())

    def _read_clock(self, connection: Connection) -> float:
        latest = connection.execute(_LATEST).scalar_one()
        return max(float(latest), self._time())

    def _tick(self, connection: Connection) -> float:
        """The time, which no later entry will be before."""
        return float(connection.execute(_TICK, {"now": self._time()}).scalar_one())

    def _time(self) -> float:
        now = self._now()
        if not abs(now) < inf:
            raise LedgerError(
                f"the clock says {now!r}, which is no number of seconds since 1970; mend the clock."
            )
        return now


def _check_balance(connection: Connection, number: int, account: Account, at: float) -> None:
    balance = balances.balance_of(connection, number, at)
    if balance.budget != budget_from_json(history.last_budget(connection, number)):
        raise _forged("has another budget", account)
    if balance.counts != history.recount(connection, number, balance.window.start):
        raise _forged("counts another sum", account)
    kept = balances.kept_epsilon(connection, balance)
    if kept is not None and kept < balance.epsilon(balance.counts) * (1.0 - _AGREES):
        raise _forged("shows less", account)
    proven = balance.proof.counts
    if balance.budget is not None and proven and not _fits(balance, proven):
        raise _forged("takes more to fit", account)


def _forged(what: str, whose: object) -> LedgerError:
    return LedgerError(
        f"the ledger {what} for {whose} than its own history; put a sound copy in its place."
    )


def _admit(account: Account, balance: Balance, asked: Counts, at: float) -> float | None:
    """Refuse what a budget does not cover; what is spent afterwards, if it was computed."""
    after = balance.counts + Counter(asked)
    budget = balance.budget
    if budget is None:
        return replace(balance, counts=after).epsilon_if_quick()
    budget.check_valid(at)
    if is_quick(after, budget.accountant):
        spent = balance.epsilon(after)
        if not _fits(balance, after):
            raise _refusal(account, balance, spent)
        return spent
    if not balance.proof.covers(after):
        if not _fits(balance, after):
            raise _refusal(account, balance, balance.epsilon(after))
        balance.proof = balance.proof.extended(after, lambda counts: _fits(balance, counts))
    return None


def _fits(balance: Balance, counts: Counts) -> bool:
    """Whether counts fit into the budget, which there must be."""
    budget = balance.budget
    assert budget is not None
    return fits(counts, budget.epsilon, budget.delta, budget.accountant)


def _refusal(account: Account, balance: Balance, after: float) -> BudgetError:
    budget, spent = balance.budget, balance.epsilon(balance.counts)
    assert budget is not None
    remaining = max(0.0, budget.epsilon - spent)
    until = "" if balance.window.end == inf else f" until {date_text(balance.window.end)}"
    return BudgetError(
        f"the privacy budget of {account} does not cover what is asked: requested epsilon "
        f"{after - spent:.4g} at delta={budget.delta:g}, remaining {remaining:.4g} of "
        f"{budget.epsilon:g}{until}; ask for less, or set a larger budget with `fedtrade privacy "
        "set-budget`."
    )


def _opened(connection: Connection, operation: int) -> Opened:
    """An operation that nobody has settled."""
    found = history.opened(connection, operation)
    if found is None:
        raise LedgerError(f"the ledger has no operation {operation} that was allocated.")
    if found.is_settled:
        raise LedgerError(
            f"operation {operation} of the ledger was consumed or released before; allocate "
            "another."
        )
    return found


def _begins(
    connection: Connection, number: int, renews_days: float | None, at: float
) -> tuple[float, float | None]:
    """From when a new budget counts by default, and from when its days of renewal do."""
    before = balances.budget_of(connection, number)
    if before is not None:
        return before.followed(renews_days, at)
    first = history.first_time(connection, number)
    return (at, None) if first is None else (first, None if renews_days is None else at)


def _put_in_force(
    connection: Connection,
    number: int,
    limits: Limits,
    begins: tuple[float, float | None],
    ends: float,
    at: float,
    settings: str | None = None,
) -> Budget:
    starts, renews_from = begins
    budget = Budget(
        epsilon=limits.epsilon,
        delta=limits.delta,
        starts=starts,
        ends=ends,
        renews_days=limits.renews_days,
        accountant=limits.accountant,
        renews_from=renews_from,
        units=limits.units,
        settings=settings,
    )
    budget.check_sound()
    balances.save_budget(connection, number, budget, at)
    history.add(connection, at, number, "budget", budget_to_json(budget))
    return budget
