"""Child processes that have done their work and wait for more of it.

A child takes half a second to start, which is more than most sums take. One that parsed a sum
without harm is kept for the next; one that died, or has served for long, is not.
"""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from fedtrade.secure.encrypted.child import Child, Limits

__all__ = ["Spares"]

MOST_USES = 500


class _Idle(NamedTuple):
    child: Child
    limits: Limits


class Spares:
    """At most one idle child of a process; `close` ends it, and so does the process's end.

    For any number of threads. A process that was forked has none of its parent's. There should be
    few of these, each for good: one a module.
    """

    def __init__(self) -> None:
        self._idle: _Idle | None = None
        self._uses: dict[Child, int] = {}
        self._forget()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def take(self, limits: Limits) -> Child:
        """The idle child, if there is one under these limits, or a new one."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None:
            if idle.limits == limits and idle.child.is_alive:
                return idle.child
            self._end(idle.child)
        return Child(limits)

    def give_back(self, child: Child, limits: Limits) -> None:
        """Keep a child that is well, or end it."""
        with self._lock:
            uses = self._uses.get(child, 0) + 1
            is_kept = child.is_alive and uses < MOST_USES
            before = self._idle
            if is_kept:
                self._idle = _Idle(child, limits)
                self._uses[child] = uses
        if not is_kept:
            self._end(child)
        elif before is not None:
            self._end(before.child)

    @contextmanager
    def lent(self, limits: Limits) -> Iterator[Child]:
        """A child for a while."""
        child = self.take(limits)
        try:
            yield child
        finally:
            self.give_back(child, limits)

    def close(self) -> None:
        """End the idle child."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None:
            self._end(idle.child)

    def _end(self, child: Child) -> None:
        with self._lock:
            self._uses.pop(child, None)
        child.close()

    def _forget(self) -> None:
        """After a fork: the lock may be held by a thread that is not there any more."""
        self._lock = threading.Lock()
        self._parents = self._idle, self._uses  # kept, since their end would be the parent's to see
        self._idle, self._uses = None, {}
