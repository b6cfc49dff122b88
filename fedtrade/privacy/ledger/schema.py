"""The tables of a ledger's file.

The history alone is the truth: entries are added and never changed, which the file itself sees to.
A balance and a tally say again, for speed, what the history says, and change in one transaction
with it.
"""

from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "APPLICATION_ID",
    "VERSION",
    "account",
    "balance",
    "clock",
    "create",
    "entry",
    "guard",
    "is_guarded",
    "tally",
]

VERSION: Final = 1
APPLICATION_ID: Final = 0x46545042
"""Tells this kind of file from other SQLite files: "FTPB"."""

_METADATA: Final = MetaData()

account: Final = Table(
    "account",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("participant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("unit", Text, nullable=False),
    UniqueConstraint("participant", "dataset", "unit"),
)

entry: Final = Table(
    "entry",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("time", Float, nullable=False, doc="Seconds since 1970, never before an earlier one's."),
    Column("account", ForeignKey("account.id"), nullable=False),
    Column("action", Text, nullable=False, doc="budget, allocated, consumed or released"),
    Column("operation", ForeignKey("entry.id"), doc="What is consumed or released."),
    Column("detail", Text, nullable=False, doc="JSON"),
    Index("entry_of_account", "account", "time"),
    # Whatever two processes do, an operation is settled once.
    Index("entry_settles", "operation", unique=True),
    sqlite_autoincrement=True,
)

balance: Final = Table(
    "balance",
    _METADATA,
    Column("account", ForeignKey("account.id"), primary_key=True),
    Column("budget", Text, doc="JSON of the budget that is in force; NULL for none."),
    Column("window", Float, nullable=False, doc="Start of the window that the tally counts."),
    Column("spent", Float, doc="Epsilon of the tally; NULL if it was not computed."),
    Column("proof", Text, doc="JSON: see fedtrade.privacy.ledger.proof."),
)

tally: Final = Table(
    "tally",
    _METADATA,
    Column("account", ForeignKey("account.id"), primary_key=True),
    Column("event", Text, primary_key=True, doc="JSON of the event with count 1."),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

clock: Final = Table(
    "clock",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("latest", Float, nullable=False, doc="The latest time that was seen."),
)

_NEVER_CHANGED: Final = """
CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} {when}
BEGIN SELECT RAISE(ABORT, 'what a ledger has is never changed'); END
"""

# REPLACE removes what has the same key, and no trigger on DELETE hears of it.
_TAKEN: Final = """
WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
"""
_SAME: Final = {
    "account": (
        "id = NEW.id OR (participant = NEW.participant AND dataset = NEW.dataset "
        "AND unit = NEW.unit)"
    ),
    "entry": "id = NEW.id OR operation = NEW.operation",
}
_GUARDS: Final = {
    f"{table}_{verb}_refused": (
        table,
        verb,
        _TAKEN.format(table=table, same=same) if verb == "INSERT" else "",
    )
    for table, same in _SAME.items()
    for verb in ("UPDATE", "DELETE", "INSERT")
}


def create(connection: Connection) -> None:
    """Make the tables, within the transaction of the connection."""
    _METADATA.create_all(connection)
    guard(connection)
    connection.execute(clock.insert().values(id=1, latest=0.0))
    connection.execute(text(f"PRAGMA application_id={APPLICATION_ID}"))
    connection.execute(text(f"PRAGMA user_version={VERSION}"))


def is_guarded(connection: Connection) -> bool:
    """Whether the file itself refuses to change an entry."""
    found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return _GUARDS.keys() <= set(found.scalars())


def guard(connection: Connection) -> None:
    """Have the file refuse to change an entry, where it does not yet."""
    for name, (table, verb, when) in _GUARDS.items():
        guarded = _NEVER_CHANGED.format(name=name, table=table, verb=verb, when=when)
        connection.execute(text(guarded))
