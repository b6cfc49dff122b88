"""Balances and tallies: what the history says of each account, ready to be read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

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
    "number_of",
    "save_budget",
    "save_spent",
    "standings",
]


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
    table = schema.account
    row = connection.execute(
        select(table.c.id).where(
            table.c.participant == account.participant,
            table.c.dataset == account.dataset,
            table.c.unit == account.unit,
        )
    ).one_or_none()
    if row is not None:
        return int(row.id)
    if not make:
        return None
    made = connection.execute(
        insert(table).values(
            participant=account.participant, dataset=account.dataset, unit=account.unit
        )
    ).inserted_primary_key
    assert made is not None
    connection.execute(insert(schema.balance).values(account=made[0], window=-inf))
    return int(made[0])


def balance_of(connection: Connection, number: int, at: float) -> Balance:
    """The balance of an account; where a window has passed, of the one that has begun since."""
    row = connection.execute(select(schema.balance).where(schema.balance.c.account == number)).one()
    budget = budget_from_json(row.budget)
    window = _window(budget, at)
    proof = Proof.from_json(row.proof)
    if window.start != row.window:
        counts = history.recount(connection, number, window.start)
        return Balance(number, budget, window, counts, proof, None)
    tally = schema.tally
    found = connection.execute(
        select(tally.c.event, tally.c.count).where(tally.c.account == number)
    )
    counts = Counter({event: count for event, count in found if count})
    return Balance(number, budget, window, counts, proof, counts.copy())


def save_budget(connection: Connection, number: int, budget: Budget, at: float) -> None:
    """Put a budget in force, and count anew by it."""
    values = {"budget": budget_to_json(budget), "proof": None}
    connection.execute(
        update(schema.balance).where(schema.balance.c.account == number).values(**values)
    )
    balance = balance_of(connection, number, at)
    save_spent(connection, balance, balance.epsilon_if_quick())


def save_spent(connection: Connection, balance: Balance, spent: float | None) -> None:
    """Write what a balance has become, and its epsilon, or None if it was not computed."""
    number, kept = balance.number, balance.kept
    if kept is None:
        connection.execute(delete(schema.tally).where(schema.tally.c.account == number))
        kept = Counter()
    connection.execute(
        update(schema.balance)
        .where(schema.balance.c.account == number)
        .values(window=balance.window.start, spent=spent, proof=balance.proof.to_json())
    )
    rows = [
        {"account": number, "event": event, "count": count}
        for event, count in balance.counts.items()
        if count != kept[event]
    ]
    if rows:
        statement = upsert(schema.tally)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["account", "event"], set_={"count": statement.excluded.count}
            ),
            rows,
        )


def budget_of(connection: Connection, number: int) -> Budget | None:
    """The budget of an account that is in force, or was last."""
    table = schema.balance
    found = select(table.c.budget).where(table.c.account == number)
    return budget_from_json(connection.execute(found).scalar_one())


def accounts(connection: Connection) -> list[tuple[int, Account]]:
    """All accounts by number, in the order of their names."""
    owner = schema.account
    found = select(owner).order_by(owner.c.participant, owner.c.dataset, owner.c.unit)
    rows = connection.execute(found).all()
    return [(row.id, Account(row.participant, row.dataset, row.unit)) for row in rows]


def standings(connection: Connection, at: float, number: int | None = None) -> Iterator[Standing]:
    """How an account stands, or all do in the order of their names."""
    owner, balance = schema.account, schema.balance
    found = (
        select(owner, balance.c.budget, balance.c.window, balance.c.spent)
        .join(balance, balance.c.account == owner.c.id)
        .order_by(owner.c.participant, owner.c.dataset, owner.c.unit)
    )
    if number is not None:
        found = found.where(owner.c.id == number)
    rows = connection.execute(found).all()
    for row, budget in zip(rows, budgets_from_json([row.budget for row in rows]), strict=True):
        account = Account(row.participant, row.dataset, row.unit)
        window = _window(budget, at)
        spent = row.spent if row.window == window.start else None
        if spent is None:
            own = balance_of(connection, row.id, at)
            spent = own.epsilon(own.counts)
        yield Standing(account, budget, window, at, spent)


def _window(budget: Budget | None, at: float) -> Window:
    return Window(-inf, inf) if budget is None else budget.window(at)
