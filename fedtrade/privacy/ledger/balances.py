"""Balances and tallies: what the history says of each account, ready to be read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from fedtrade.errors import LedgerError
from fedtrade.privacy.ledger import history, schema
from fedtrade.privacy.ledger.account import Account
from fedtrade.privacy.ledger.budget import Budget, Window
from fedtrade.privacy.ledger.budget_text import budget_from_json, budget_to_json, budgets_from_json
from fedtrade.privacy.ledger.composition import Counts, epsilon_of, is_quick
from fedtrade.privacy.ledger.proof import Proof
from fedtrade.privacy.ledger.standing import Standing, measured_by

__all__ = [
    "Balance",
    "accounts",
    "balance_of",
    "budget_of",
    "kept_epsilon",
    "number_of",
    "save_budget",
    "save_spent",
    "standings",
]

# Statements are put together once: that takes longer than running them.
_OWNER: Final = schema.account
_BALANCE: Final = schema.balance
_TALLY: Final = schema.tally
_NAMES: Final = (_OWNER.c.participant, _OWNER.c.dataset, _OWNER.c.unit)
_NUMBER: Final = select(_OWNER.c.id).where(
    *(column == bindparam(f"own_{column.name}") for column in _NAMES)
)
_FOUND: Final = (
    select(_BALANCE.c.budget, _BALANCE.c.window, _BALANCE.c.proof, _TALLY.c.event, _TALLY.c.count)
    .outerjoin(_TALLY, _TALLY.c.account == _BALANCE.c.account)
    .where(_BALANCE.c.account == bindparam("number"))
)
_CHANGE: Final = update(_BALANCE).where(_BALANCE.c.account == bindparam("number"))
_SPENT: Final = _CHANGE.values(
    window=bindparam("start"), spent=bindparam("total"), proof=bindparam("fits")
)
_COUNTED: Final = upsert(_TALLY)
_COUNT: Final = _COUNTED.on_conflict_do_update(
    index_elements=["account", "event"], set_={"count": _COUNTED.excluded.count}
)
_STANDINGS: Final = (
    select(_OWNER.c.id, *_NAMES, _BALANCE.c.budget, _BALANCE.c.window, _BALANCE.c.spent)
    .join(_BALANCE, _BALANCE.c.account == _OWNER.c.id)
    .order_by(*_NAMES)
)
_AT_ONCE: Final = 500
_STANDING: Final = _STANDINGS.where(_OWNER.c.id == bindparam("number"))


@dataclass(slots=True)
class Balance:
    """An account's, in the window of a time.

    Attributes
    ----------
    number : int
        Of the account in the file.
    budget : Budget or None
    window : Window
    counts : Counter
        What was allocated in the window and not released.
    proof : Proof
        Of counts that fit into the budget.
    kept : Counter or None
        What the file's tally has of this window; None if it is that of an earlier one.
    """

    number: int
    budget: Budget | None
    window: Window
    counts: Counter[str]
    proof: Proof
    kept: Counter[str] | None

    def epsilon(self, counts: Counts) -> float:
        """What events cost together, by the budget's delta and accountant."""
        return epsilon_of(counts, *measured_by(self.budget))

    def epsilon_if_quick(self) -> float | None:
        """What is counted costs, if that takes no time to compute."""
        _, accountant = measured_by(self.budget)
        return self.epsilon(self.counts) if is_quick(self.counts, accountant) else None


def number_of(connection: Connection, account: Account, *, make: bool) -> int | None:
    """The number of an account in the file; None if it has none and none is made."""
    own = {
        "own_participant": account.participant,
        "own_dataset": account.dataset,
        "own_unit": account.unit,
    }
    number = connection.execute(_NUMBER, own).scalar_one_or_none()
    if number is not None:
        return int(number)
    if not make:
        return None
    made = connection.execute(
        insert(_OWNER).values(
            participant=account.participant, dataset=account.dataset, unit=account.unit
        )
    ).inserted_primary_key
    assert made is not None
    connection.execute(insert(_BALANCE).values(account=made[0], window=-inf))
    return int(made[0])


def balance_of(connection: Connection, number: int, at: float) -> Balance:
    """The balance of an account; where a window has passed, of the one that has begun since.

    Raises
    ------
    LedgerError
        If somebody has removed it.
    """
    rows = connection.execute(_FOUND, {"number": number}).all()
    if not rows:
        raise LedgerError(
            f"the ledger has lost the balance of account {number}; put a sound copy in its place."
        )
    kept_budget, kept_window, kept_proof, _, _ = rows[0]
    budget = budget_from_json(kept_budget)
    window = _window(budget, at)
    proof = Proof.from_json(kept_proof)
    if window.start != kept_window:
        counts = history.recount(connection, number, window.start)
        return Balance(number, budget, window, counts, proof, None)
    counts = Counter({event: count for *_, event, count in rows if count})
    return Balance(number, budget, window, counts, proof, counts.copy())


def kept_epsilon(connection: Connection, balance: Balance) -> float | None:
    """What the file says is spent in the window of a balance; None if it says nothing of it."""
    found = select(_BALANCE.c.window, _BALANCE.c.spent).where(_BALANCE.c.account == balance.number)
    window, spent = connection.execute(found).one()
    return spent if window == balance.window.start else None


def save_budget(connection: Connection, number: int, budget: Budget, at: float) -> None:
    """Put a budget in force, and count anew by it."""
    values = {"budget": budget_to_json(budget), "proof": None}
    connection.execute(_CHANGE.values(**values), {"number": number})
    balance = balance_of(connection, number, at)
    save_spent(connection, balance, balance.epsilon_if_quick())


def save_spent(connection: Connection, balance: Balance, spent: float | None) -> None:
    """Write what a balance has become, and its epsilon, or None if it was not computed."""
    number, kept = balance.number, balance.kept
    if kept is None:
        connection.execute(delete(_TALLY).where(_TALLY.c.account == number))
        kept = Counter()
    start, fits = balance.window.start, balance.proof.to_json()
    values = {"number": number, "start": start, "total": spent, "fits": fits}
    connection.execute(_SPENT, values)
    rows = [
        {"account": number, "event": event, "count": count}
        for event, count in balance.counts.items()
        if count != kept[event]
    ]
    if rows:
        connection.execute(_COUNT, rows)


def budget_of(connection: Connection, number: int) -> Budget | None:
    """The budget of an account that is in force, or was last."""
    found = select(_BALANCE.c.budget).where(_BALANCE.c.account == number)
    return budget_from_json(connection.execute(found).scalar_one())


def accounts(connection: Connection) -> list[tuple[int, Account]]:
    """All accounts by number, in the order of their names."""
    rows = connection.execute(select(_OWNER).order_by(*_NAMES)).all()
    return [(row.id, Account(row.participant, row.dataset, row.unit)) for row in rows]


def standings(connection: Connection, at: float, number: int | None = None) -> Iterator[Standing]:
    """How an account stands, or all do in the order of their names."""
    found = connection.execute(_STANDINGS if number is None else _STANDING, {"number": number})
    for rows in found.partitions(_AT_ONCE):
        for row, budget in zip(rows, budgets_from_json([row[4] for row in rows]), strict=True):
            own, participant, dataset, unit, _, kept_window, spent = row
            window = _window(budget, at)
            if spent is None or kept_window != window.start:
                balance = balance_of(connection, own, at)
                spent = balance.epsilon(balance.counts)
            yield Standing(Account(participant, dataset, unit), budget, window, at, spent)


def _window(budget: Budget | None, at: float) -> Window:
    return Window(-inf, inf) if budget is None else budget.window(at)
