"""What a party remembers of a run, as a file of its own that outlives the node.

One message of a run is answered at a time: two that read the same memory could use one secret
twice. A file says whose it is and carries a checksum, so that one that is damaged, cut off or put
there from elsewhere is never taken for a memory. Memories of old runs are let go, and those runs
are not answered any more: a server that goes on with one would meet a party that does not know
what it has given.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from fedtrade.errors import ConfigurationError, LimitError, OutputError
from fedtrade.private_files import make_private_folder, write_private

__all__ = ["MOST_DAYS", "MOST_RUNS", "Damaged", "RunMemory", "server_mark"]

MOST_RUNS: Final = 20
MOST_DAYS: Final = 30.0
"""Memories of more runs of a server, or of runs not heard of for longer, are forgotten."""

STATE: Final = ".state"
DAMAGED: Final = ".damaged"
OVER: Final = "over"
"""Which runs were forgotten, one name a line."""

LOCK: Final = ".lock"
FORMAT: Final = "fedtrade-state 1"
DAY_S: Final = 86400.0
POLL_S: Final = 0.02


class Damaged(NamedTuple):
    """A file that is no memory of this run: a sentence that says why, and where it was put."""

    reason: str


class RunMemory:
    """The memory of one run on one server.

    Parameters
    ----------
    folder : Path
        Of the memories of all runs; made if need be, for its owner alone.
    run_id : int
    server : str
        What tells the server from others, such as `server_mark`: run ids are drawn by each.
    """

    def __init__(self, folder: Path, run_id: int, server: str) -> None:
        self._folder = folder
        self._head = f"{FORMAT} {run_id} {server}"
        self.path = folder / f"{run_id}-{server}{STATE}"

    @contextmanager
    def held(self, timeout_s: float | None = None) -> Iterator[None]:
        """Keep others from this run's memory; the system lets go of it when the process dies.

        Raises
        ------
        LimitError
            If another message of the run is still worked on after `timeout_s`.
        OutputError
            If nothing can be written there.
        """
        make_private_folder(self._folder)
        path = self.path.with_suffix(LOCK)
        with _writing():
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _writing():
                _acquire(lock, timeout_s)
                os.utime(path)
            yield
        finally:
            os.close(lock)

    def read(self) -> bytes | Damaged | None:
        """What was written; None if nothing was.

        What is there but was not written by `write` for this run is copied to a file beside it.

        Raises
        ------
        LimitError
            If the run was forgotten.
        ConfigurationError
            If the file cannot be read.
        OutputError
            If it cannot be put aside.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            self._check_not_over()
            return None
        except OSError as error:
            raise ConfigurationError(
                f"what this participant remembers of the run cannot be read ({error.strerror}); "
                f"mend {self.path.name} in its folder of runs."
            ) from None
        head, _, body = data.partition(b"\n")
        if head != self._first_line(body):
            is_other = head.startswith(FORMAT.encode()) and not head.startswith(self._head.encode())
            return self._put_aside(data, "of another run" if is_other else "damaged")
        return body

    def write(self, body: bytes) -> None:
        """Replace it in one step.

        Raises
        ------
        OutputError
            If it cannot be written; what was written before stays.
        """
        with _writing():
            write_private(self.path, self._first_line(body) + b"\n" + body)

    def forget_others(self) -> None:
        """Remove the memories of this server's runs that are long over, and note which these were.

        Raises
        ------
        OutputError
            If it cannot be noted; then nothing is forgotten.
        """
        oldest = time.time() - MOST_DAYS * DAY_S
        server = self.path.stem.partition("-")[2]
        others = [p for p in self._folder.glob(f"*-{server}{STATE}") if p != self.path]
        others.sort(key=_written, reverse=True)
        over = [p for k, p in enumerate(others) if k >= MOST_RUNS - 1 or _written(p) < oldest]
        if over:
            self._note_over(over)
        for path in over:
            path.unlink(missing_ok=True)
        for path in self._folder.glob(f"*{LOCK}"):
            # Not with the memory: somebody may wait for it.
            if _written(path) < oldest:
                path.unlink(missing_ok=True)

    def _note_over(self, paths: Sequence[Path]) -> None:
        # Begun on a new line, as what was noted before may have been cut off.
        names = "".join(f"\n{path.stem}" for path in paths) + "\n"
        with _writing(), open(self._folder / OVER, "ab", opener=_as_owner) as noted:
            noted.write(names.encode())
            noted.flush()
            os.fsync(noted.fileno())

    def _check_not_over(self) -> None:
        try:
            noted = (self._folder / OVER).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(
                f"which runs are over cannot be read ({error.strerror}); mend {OVER!r} in this "
                "participant's folder of runs."
            ) from None
        if self.path.stem in noted:
            raise LimitError(
                "this run is long over, and this participant remembers nothing of it: start a new "
                f"run. It remembers {MOST_RUNS} runs for {MOST_DAYS:g} days."
            )

    def _first_line(self, body: bytes) -> bytes:
        return f"{self._head} {hashlib.sha256(body).hexdigest()}".encode()

    def _put_aside(self, data: bytes, what: str) -> Damaged:
        """Keep a copy of what is there, for somebody to look at; never in the place of another."""
        k, aside = 1, self.path.with_suffix(DAMAGED)
        while aside.exists() and aside.read_bytes() != data:
            k, aside = k + 1, self.path.with_suffix(f"{DAMAGED}-{k + 1}")
        with _writing():
            write_private(aside, data)
        return Damaged(
            f"what this participant remembers of the run is {what}; it was put aside as "
            f"{aside.name}."
        )


def server_mark(root_certificates: Path) -> str:
    """What tells a server from others: a digest of the authority by which it is known.

    Raises
    ------
    ConfigurationError
        If the certificate cannot be read.
    """
    try:
        return hashlib.sha256(root_certificates.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigurationError(
            f"root_certificates={root_certificates} cannot be read ({error.strerror}); name the "
            "consortium's ca.crt."
        ) from None


def _as_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextmanager
def _writing() -> Iterator[None]:
    """Say what it is that cannot be written, and that nothing else is amiss."""
    try:
        yield
    except (OSError, OutputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or type(error).__name__
        raise OutputError(
            f"what this participant remembers of the run cannot be written ({reason}), so it does "
            "not answer, and remembers what it did before: free some space in its `state` folder, "
            "or mend it."
        ) from error


def _acquire(lock: int, timeout_s: float | None) -> None:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        if deadline is not None and time.monotonic() > deadline:
            raise LimitError(
                "another message of this run is still worked on, and this participant does one "
                f"after the other: it has waited {timeout_s:g} s (allow.most_seconds)."
            )
        time.sleep(POLL_S)


def _written(path: Path) -> float:
    """When, in seconds since 1970; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
