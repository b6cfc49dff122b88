"""The child process that parses what peers send: `python -m fedtrade.secure.encrypted.worker`.

It may crash, hang or run out of memory without its parent's coming to harm. A request is a list
of byte strings, of which the first is JSON; so is an answer. Whatever is not a refusal in order
(`SecureAggregationError`) ends the process, as its state cannot be relied upon any more.

The kernel ends it when a request takes too long (an alarm that nothing handles), or takes more
memory or processor time than it may; it ends itself when its parent is gone.
"""

import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fedtrade import errors
from fedtrade.secure.encrypted.frames import receive, send
from fedtrade.secure.encrypted.scheme import Accumulator, Scheme
from fedtrade.secure.encrypted.schemes import scheme_from

__all__ = ["Work", "main"]

POLL_S = 1.0
MOST_REQUEST_BYTES = 1 << 30

Answer = tuple[dict[str, Any], Sequence[bytes]]


class Work:
    """What the process can be asked for, and what it remembers in between."""

    def __init__(self) -> None:
        self._scheme: Scheme | None = None
        self._sum: Accumulator | None = None
        self.asked: dict[str, Callable[[dict[str, Any], list[bytes]], Answer]] = {
            "start": self._start,
            "add": self._add,
            "total": self._total,
            "decrypt": self._decrypt,
        }

    @property
    def scheme(self) -> Scheme:
        if self._scheme is None:
            raise RuntimeError("the first request must be to start.")
        return self._scheme

    @property
    def sum(self) -> Accumulator:
        if self._sum is None:
            raise RuntimeError("there is no sum.")
        return self._sum

    def _start(self, fields: dict[str, Any], parts: list[bytes]) -> Answer:
        self._scheme = scheme_from(fields["scheme"])
        if parts:
            self._sum = self.scheme.accumulator(parts[0])
            if parts[1:]:
                self._sum.restore(parts[1:])
        return {}, ()

    def _add(self, fields: dict[str, Any], parts: list[bytes]) -> Answer:
        self.sum.add(parts, fields["weight"])
        return {}, ()

    def _total(self, fields: dict[str, Any], parts: list[bytes]) -> Answer:
        return {}, self.sum.total()

    def _decrypt(self, fields: dict[str, Any], parts: list[bytes]) -> Answer:
        end = 1 + fields["n_chunks"]
        chunks, pads = parts[1:end], parts[end:]
        opened = self.scheme.decryptor(parts[0]).decrypt(chunks, fields["size"], pads)
        found = {"counts": opened.counts.tolist(), "largest": opened.largest, "rest": opened.rest}
        return found, (opened.values.astype("<i8").tobytes(),)


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Let the kernel end this process beyond these; it writes no files and no core."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def wait_for_request(connection: socket.socket, parent: int) -> bool:
    """True when there is something to read, False when the parent is gone."""
    while os.getppid() == parent:
        if select.select([connection], [], [], POLL_S)[0]:
            return True
    return False


def answer(work: Work, parts: list[bytes]) -> list[bytes]:
    """Do what is asked; refusals are answers too."""
    fields = json.loads(parts[0])
    try:
        found, out = work.asked[fields["do"]](fields, parts[1:])
    except errors.SecureAggregationError as error:
        return [json.dumps({"error": type(error).__name__, "message": str(error)}).encode()]
    return [json.dumps(found).encode(), *out]


def main(memory_bytes: int, cpu_s: int, timeout_s: float, parent: int) -> None:
    """Answer requests on standard input, a socket, until the parent closes it."""
    limit(memory_bytes, cpu_s)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    work = Work()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        while wait_for_request(connection, parent):
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            try:
                parts = receive(connection, MOST_REQUEST_BYTES)
            except EOFError:
                return
            send(connection, answer(work, parts))
            signal.setitimer(signal.ITIMER_REAL, 0.0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
