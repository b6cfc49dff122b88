"""The file of a ledger: opened for its owner alone, written in whole transactions."""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from fedtrade.errors import LedgerError, OutputError
from fedtrade.privacy.ledger import schema
from fedtrade.private_files import OWNER_FILE, make_private_folder

__all__ = ["Store"]

_BEGIN: Final = "begin"
_READ: Final = "BEGIN"
_WRITE: Final = "BEGIN IMMEDIATE"
_POLL_S: Final = 0.01
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNWRITABLE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk is full or fails",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_PERM: "its permissions forbid it",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_AUTH: "its permissions forbid it",
}
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)


class Store:
    """One connection to a ledger's file, for one process; threads take turns.

    Parameters
    ----------
    path : Path
    create : bool
        Whether to make the file if it is not there, with its folder.
    timeout_s : float
        How long to wait for another process that writes.

    Raises
    ------
    LedgerError
        If the file is not there, not a ledger, of a newer version, open to others, or cannot be
        used.
    """

    def __init__(self, path: Path, *, create: bool, timeout_s: float) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._lock = threading.RLock()
        self._prepare(create)
        # "Full" puts each transaction on the disk before it counts as done.
        self._connection = self._connect()
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the file, whatever others write meanwhile.

        Raises
        ------
        LedgerError
            If the file cannot be read.
        """
        with self._transaction(_READ) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """What is done here is done as a whole, alone, and on the disk at the end; or not at all.

        Raises
        ------
        LedgerError
            If the file cannot be written; what it held it still holds.
        """
        with self._transaction(_WRITE) as connection:
            yield connection

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, self._explained():
            self._connection.close()
            self._connection.engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self._lock, self._explained():
            self._connection.info[_BEGIN] = begin
            with self._connection.begin():
                yield self._connection

    def _prepare(self, create: bool) -> None:
        """See that the file is there, and nobody else's."""
        path = self._path
        try:
            if create and not path.exists():
                if not path.parent.exists():
                    make_private_folder(path.parent)
                self._make_empty()
            mode = stat.S_IMODE(path.stat().st_mode)
            is_file = path.is_file()
        except FileNotFoundError:
            raise LedgerError(
                f"there is no ledger {path}; name another with --ledger, or begin one with "
                f"`fedtrade privacy set-budget --ledger {path}`."
            ) from None
        except (OSError, OutputError) as error:
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise LedgerError(
                f"the ledger {path} cannot be used ({reason}); choose another, or mend it."
            ) from error
        if not is_file:
            raise LedgerError(f"the ledger {path} is not a file; choose another.")
        if mode & 0o077:
            raise LedgerError(
                f"the ledger {path} has mode {mode:04o}, so that others may read or change it; "
                f"`chmod 600 {path}`."
            )

    def _make_empty(self) -> None:
        """A file that nobody else may read, at no time."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_FILE))
        except FileExistsError:
            return  # another process was faster

    def _connect(self) -> Connection:
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            poolclass=NullPool,
            connect_args={"timeout": self._timeout_s, "check_same_thread": False},
        )
        event.listen(engine, "connect", self._configure)
        event.listen(engine, "begin", _begin)
        with self._explained():
            return engine.connect()

    def _configure(self, raw: Any, _: object) -> None:
        raw.isolation_level = None  # transactions begin as we say
        cursor = raw.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        # Before anything is written: another program's file stays as it is.
        self._check_kind(cursor)
        _retried(lambda: cursor.execute("PRAGMA journal_mode=WAL"), self._timeout_s)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    def _check_kind(self, cursor: Any) -> None:
        cursor.execute(_READ)  # another process may be making the tables
        kind = cursor.execute("PRAGMA application_id").fetchone()[0]
        version = cursor.execute("PRAGMA user_version").fetchone()[0]
        n_tables = cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        cursor.execute("COMMIT")
        if n_tables and kind != schema.APPLICATION_ID:
            raise LedgerError(
                f"{self._path} is the file of another program, and no ledger; name another."
            )
        if version > schema.VERSION:
            raise LedgerError(
                f"the ledger {self._path} is of version {version}, and this fedtrade knows version "
                f"{schema.VERSION}; install the fedtrade that wrote it, or a newer one."
            )
        if version < 0 or (n_tables and version == 0):
            raise LedgerError(
                f"the ledger {self._path} is of version {version}, which no fedtrade writes; it "
                "was left as it is, so put a sound copy in its place."
            )

    def _check(self) -> None:
        """See that the file is whole; make its tables if it is new."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            is_new = connection.exec_driver_sql("PRAGMA user_version").scalar_one() == 0
            is_guarded = schema.is_guarded(connection)
        if found != "ok":
            raise self._damaged(str(found))
        if is_new:
            with self.writing() as connection:
                # Another process may have been faster.
                if connection.exec_driver_sql("PRAGMA user_version").scalar_one() == 0:
                    schema.create(connection)
        elif not is_guarded:
            with self.writing() as connection:
                schema.guard(connection)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._sentence(error.orig) from error
        except sqlite3.Error as error:
            raise self._sentence(error) from error

    def _sentence(self, error: BaseException | None) -> LedgerError:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _BUSY:
            return LedgerError(
                f"the ledger {self._path} is kept by another process for more than "
                f"{self._timeout_s:g} s; try again when that one is done."
            )
        if code in _UNWRITABLE:
            return LedgerError(
                f"the ledger {self._path} cannot be written ({_UNWRITABLE[code]}), and holds what "
                "it held before; free some space, or mend it."
            )
        if code in _DAMAGED:
            return self._damaged(str(error))
        return LedgerError(f"the ledger {self._path} cannot be used ({error}); mend it.")

    def _damaged(self, reason: str) -> LedgerError:
        line = " ".join(reason.split())
        return LedgerError(
            f"the ledger {self._path} is damaged or no ledger ({line}); it was left as it is, so "
            "put a sound copy in its place."
        )


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(str(connection.info.get(_BEGIN, _READ)))


def _retried(execute: Any, timeout_s: float) -> None:
    """To change a file's mode, SQLite does not wait for others by itself."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            execute()
            return
        except sqlite3.OperationalError as error:
            is_busy = (error.sqlite_errorcode & 0xFF) in _BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)
