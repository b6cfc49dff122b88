"""The parent's side of a child process that parses what peers send."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import fedtrade
from fedtrade import errors
from fedtrade.secure.encrypted.frames import receive, send

__all__ = ["Child", "ChildDied", "Limits"]

WORKER = "fedtrade.secure.encrypted.worker"
MOST_ANSWER_BYTES = 1 << 30
END_S = 5.0
BUFFER_BYTES = 1 << 20
"""A contribution goes over at once, where the system allows so much; otherwise the two processes
wait for each other several times for each."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child process may take.

    Attributes
    ----------
    memory_bytes : int
        Of address space.
    cpu_s : int
        Of processor time in its life.
    timeout_s : float
        For one request.
    """

    memory_bytes: int = 4 << 30
    cpu_s: int = 3600
    timeout_s: float = 30.0


class ChildDied(Exception):  # noqa: N818  it is an event that its catcher reckons with
    """The child has crashed, run into a limit or gone silent, and is gone."""


class Child:
    """A child process; use it as a context manager, or `close` it.

    Not for more than one thread at a time.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        with theirs:
            self._process = subprocess.Popen(
                _command(limits),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        self._connection = ours
        # The kernel's alarm comes first, unless the process is stopped or out of reach.
        self._connection.settimeout(limits.timeout_s + END_S)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs and can be asked."""
        return self._connection.fileno() >= 0 and self._process.poll() is None

    def ask(
        self, what: str, fields: Mapping[str, Any], parts: Sequence[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to a request.

        Raises
        ------
        ChildDied
            If there is none; the process is ended and waited for.
        FedtradeError
            What the child refused with.
        """
        request = json.dumps({"do": what, **fields}).encode()
        try:
            send(self._connection, [request, *parts])
            head, *found = receive(self._connection, MOST_ANSWER_BYTES)
            answered = json.loads(head)
        except (OSError, EOFError, ValueError, errors.ProtocolError) as error:
            code = self.close()
            raise ChildDied(f"{type(error).__name__}, exit code {code}") from None
        except BaseException:  # half a conversation: the next answer would be to this request
            self.close()
            raise
        if "error" in answered:
            kind = getattr(errors, answered["error"], errors.ProtocolError)
            raise kind(answered["message"])
        return answered, found

    def close(self) -> int:
        """End the process, wait for it and return its exit code; negative is a signal."""
        self._connection.close()
        try:
            return self._process.wait(END_S if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> Self:
        """The child itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()


def _command(limits: Limits) -> list[str]:
    # -P: nothing is imported from the working directory.
    arguments = (limits.memory_bytes, limits.cpu_s, limits.timeout_s, os.getpid())
    return [sys.executable, "-P", "-m", WORKER, *map(str, arguments)]


def _environment() -> dict[str, str]:
    """Ours, with the same import path, and one thread each."""
    root = str(Path(fedtrade.__file__).parents[1])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join([root, *(entry for entry in sys.path if entry)])
    return {**os.environ, **threads, "PYTHONPATH": path}
