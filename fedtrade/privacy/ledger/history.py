"""What happened to an account, in order; entries are added and never changed."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection, bindparam, func, insert, select

from fedtrade.privacy.ledger import schema
from fedtrade.privacy.ledger.account import Account

__all__ = [
    "Action",
    "Entry",
    "Opened",
    "add",
    "entries",
    "first_time",
    "last_budget",
    "last_time",
    "opened",
    "recount",
]

Action: TypeAlias = Literal["budget", "allocated", "consumed", "released"]

_RELEASED: Final = "released"
_EVENTS: Final = "events"

# Statements that every operation needs are put together once: that takes longer than running them.
_ENTRY: Final = schema.entry
_SETTLED: Final = schema.entry.alias()
_ADD: Final = insert(_ENTRY)
_OPENED: Final = (
    select(_ENTRY.c.account, _ENTRY.c.time, _ENTRY.c.detail, _SETTLED.c.id)
    .outerjoin(_SETTLED, _SETTLED.c.operation == _ENTRY.c.id)
    .where(_ENTRY.c.id == bindparam("operation"), _ENTRY.c.action == "allocated")
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a history.

    Attributes
    ----------
    number : int
        From 1, in order.
    time : float
        Seconds since 1970, by the ledger's clock.
    account : Account
    action : {"budget", "allocated", "consumed", "released"}
    operation : int or None
        Number of the entry that allocated what is consumed or released.
    detail : mapping
        Of a budget its values; of an allocation its `events` (a count by JSON) and its `purpose`.
    """

    number: int
    time: float
    account: Account
    action: Action
    operation: int | None
    detail: Mapping[str, Any]


class Opened(NamedTuple):
    """An operation that was allocated.

    Attributes
    ----------
    account : int
        Its number in the file.
    time : float
    counts : Counter
        How often each event, by its JSON.
    is_settled : bool
        Whether it was consumed or released.
    """

    account: int
    time: float
    counts: Counter[str]
    is_settled: bool


def add(
    connection: Connection,
    time: float,
    account: int,
    action: Action,
    detail: str = "{}",
    operation: int | None = None,
) -> int:
    """Add an entry about an account; its number."""
    row = {
        "time": time,
        "account": account,
        "action": action,
        "operation": operation,
        "detail": detail,
    }
    key = connection.execute(_ADD, row).inserted_primary_key
    assert key is not None
    return int(key[0])


def entries(
    connection: Connection, account: int | None = None, last: int | None = None
) -> Iterator[Entry]:
    """The history of an account or of all, or the last so many entries of it."""
    entry, owner = _ENTRY, schema.account
    found = (
        select(entry, owner.c.participant, owner.c.dataset, owner.c.unit)
        .join(owner, owner.c.id == entry.c.account)
        .order_by(entry.c.id.desc())
        .limit(last)
    )
    if account is not None:
        found = found.where(entry.c.account == account)
    for row in reversed(connection.execute(found).all()):
        whose = Account(row.participant, row.dataset, row.unit)
        detail = json.loads(row.detail)
        yield Entry(row.id, row.time, whose, row.action, row.operation, detail)


def opened(connection: Connection, operation: int) -> Opened | None:
    """An operation; None if there is none of this number."""
    row = connection.execute(_OPENED, {"operation": operation}).one_or_none()
    if row is None:
        return None
    counts = Counter(json.loads(row.detail)[_EVENTS])
    return Opened(row.account, row.time, counts, row.id is not None)


def first_time(connection: Connection, account: int) -> float | None:
    """When something was first allocated; None if nothing was."""
    found = select(func.min(_ENTRY.c.time)).where(
        _ENTRY.c.account == account, _ENTRY.c.action == "allocated"
    )
    value = connection.execute(found).scalar_one()
    return None if value is None else float(value)


def last_time(connection: Connection) -> float:
    """Of the latest entry; minus infinity if there is none."""
    value = connection.execute(select(func.max(_ENTRY.c.time))).scalar_one()
    return -inf if value is None else float(value)


def last_budget(connection: Connection, account: int, *, by_hand: bool = False) -> str | None:
    """The JSON of the budget that was set last, or last by hand; None if none was."""
    found = (
        select(_ENTRY.c.detail)
        .where(_ENTRY.c.account == account, _ENTRY.c.action == "budget")
        .order_by(_ENTRY.c.id.desc())
        .limit(1)
    )
    if by_hand:
        found = found.where(func.json_extract(_ENTRY.c.detail, "$.settings").is_(None))
    return connection.execute(found).scalar_one_or_none()


def recount(connection: Connection, account: int, start: float) -> Counter[str]:
    """What was allocated from a time on and not released, from the history alone."""
    entry, settled = _ENTRY, _SETTLED
    found = (
        select(entry.c.detail)
        .outerjoin(settled, (settled.c.operation == entry.c.id) & (settled.c.action == _RELEASED))
        .where(
            entry.c.account == account,
            entry.c.action == "allocated",
            entry.c.time >= start,
            settled.c.id.is_(None),
        )
    )
    counts: Counter[str] = Counter()
    for (detail,) in connection.execute(found):
        counts.update(json.loads(detail)[_EVENTS])
    return counts
