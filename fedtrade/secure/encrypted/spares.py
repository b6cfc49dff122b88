"""Child processes that have done their work and wait for more of it.

A child takes half a second to start, which is more than most sums take. One that parsed a sum
without harm is kept for the next; one that died, or has served for long, is not.
"""

import atexit
import os
import threading

from fedtrade.secure.encrypted.child import Child, Limits

__all__ = ["Spares"]

MOST_USES = 500


class Spares:
    """At most one idle child of a process; `close` ends it, and so does the process's end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: tuple[Child, Limits, int] | None = None
        self._uses: dict[int, int] = {}
        atexit.register(self.close)

    def take(self, limits: Limits) -> Child:
        """The idle child, if there is one under these limits, or a new one."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None:
            child, its_limits, owner = idle
            # After a fork it is the parent's.
            if its_limits == limits and owner == os.getpid() and child.is_alive:
                return child
            if owner == os.getpid():
                self._end(child)
        return Child(limits)

    def give_back(self, child: Child, limits: Limits) -> None:
        """Keep a child that is well, or end it."""
        uses = self._uses.get(child.pid, 0) + 1
        if not child.is_alive or uses >= MOST_USES:
            self._end(child)
            return
        with self._lock:
            before, self._idle = self._idle, (child, limits, os.getpid())
            self._uses[child.pid] = uses
        if before is not None:
            self._end(before[0])

    def close(self) -> None:
        """End the idle child."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None and idle[2] == os.getpid():
            self._end(idle[0])

    def _end(self, child: Child) -> None:
        self._uses.pop(child.pid, None)
        child.close()
