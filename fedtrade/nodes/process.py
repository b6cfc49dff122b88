"""Processes that are watched, read line by line, and never left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fedtrade.errors import NodeError

__all__ = ["Process", "ignore", "tether"]

TAIL: Final = 200
GRACE_S: Final = 10.0
POLL_S: Final = 0.05
WAIT_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def ignore(line: str) -> None:
    """What to do with a line that nobody wants."""


class Process:
    """A command in a process group of its own.

    It is told to stop when this process dies, however that comes about (on Linux); Ctrl-C in the
    terminal does not reach it unless it is passed on.

    Parameters
    ----------
    command : sequence of str
    name : str
        What it is called in messages.
    environment : mapping of str to str
        The whole of it.
    on_line : callable
        Called with each line of its output, standard error among it, from a thread.
    folder : Path or None
        Where it runs.

    Attributes
    ----------
    tail : deque of str
        The latest lines of its output.

    Raises
    ------
    NodeError
        If the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] = ignore,
        folder: Path | None = None,
    ) -> None:
        self.command, self.name = tuple(command), name
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._on_line = on_line
        self._status: int | None = None
        self._lock = threading.Lock()
        try:
            self._child = subprocess.Popen(
                self.command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tether,
            )
        except OSError as error:
            raise NodeError(f"{self.command[0]} cannot be started: {error}.") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._child.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        if self._status is None:
            self._status = self._peek()
        return self._status

    def _peek(self) -> int | None:
        """Its exit status; it stays a zombie, so that its number, and its group's, are its own."""
        if sys.platform != "linux":
            return self._child.poll()
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it has been reaped
            return self._child.poll()
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit status when it ended, and its output is read; None if it did not in time.

        What it has left of its group ends with it.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.status is None:
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(WAIT_S)
        self._end_group()
        self._reader.join(1.0)  # what has left the group may keep the pipe
        return self.status

    def wait_until(self, is_there: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something is there that the process shall bring about.

        Raises
        ------
        NodeError
            If the process ends before, or it takes too long.
        """
        deadline = time.monotonic() + timeout_s
        while not is_there():
            if self.status is not None:
                self.wait(0.0)
                raise NodeError(f"{self.name} ended with status {self.status}: {self.last_words}")
            if time.monotonic() > deadline:
                raise NodeError(f"{self.name} is not ready after {timeout_s:g} s.")
            time.sleep(POLL_S)

    @property
    def last_words(self) -> str:
        """The last line that it said."""
        return next((line.strip() for line in reversed(self.tail) if line.strip()), "no word")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask it to end, and after `grace_s` end it with all that it started."""
        if self.status is None:
            self.send(signal.SIGTERM)
            self.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End it with all of its group at once."""
        self._end_group()
        self.wait(GRACE_S)

    def _end_group(self) -> None:
        """End its group and take leave of it, once: its number may be another's afterwards."""
        with self._lock:
            if self._child.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE_S)

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as output:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self.tail.append(line)
                self._on_line(line)


def tether(number: signal.Signals = signal.SIGTERM) -> None:
    """In a child, before it does anything: have a signal come when the parent ends (on Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
