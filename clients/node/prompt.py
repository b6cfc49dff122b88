"""Flower's SuperNode, which asks the server again sooner.

Flower 1.41 sleeps 3 s after it has asked for a message in vain, and looks for a reply each 0.5 s.
Both are constants in one module, whose `time` is replaced here; after a lost connection it waits up
to 20 s before it tries again, which becomes 3 s. All else is Flower's own. If those modules are
others, the SuperNode runs as it is.

A question costs the server about ten milliseconds of a core. So the longer nothing has come, the
less often a node asks: no message waits longer than `poll_s` or a twentieth of the silence before
it, and a node without work asks no more often than Flower's own.
"""

import time
from types import SimpleNamespace
from typing import Final

from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal

from clients.node.pinned import lacks, replace
from fedtrade.nodes.pull_sooner import pull_sooner

__all__ = ["Pauses", "shorten_pauses"]

LONGEST_FLOWER_PAUSE_S: Final = 3.0
REPLY_POLL_S: Final = 0.02
RETRY_S: Final = 3
SHARE_OF_SILENCE: Final = 0.05


class Pauses:
    """How long to sleep where Flower would sleep longer.

    Parameters
    ----------
    poll_s : float
        Between two questions while messages come.
    """

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._last_message = time.monotonic()

    def sleep(self, flowers_s: float) -> None:
        """Sleep in the place of so many of Flower's seconds."""
        if flowers_s < LONGEST_FLOWER_PAUSE_S:  # a message has come and is being answered
            self._last_message = time.monotonic()
            time.sleep(min(flowers_s, REPLY_POLL_S))
        else:
            time.sleep(self.before_next_question(time.monotonic() - self._last_message))

    def before_next_question(self, silence_s: float) -> float:
        """Seconds to wait when nothing has come for so many."""
        rare = min(SHARE_OF_SILENCE * silence_s, LONGEST_FLOWER_PAUSE_S)
        return max(self._poll_s, rare)


def shorten_pauses(poll_s: float) -> str:
    """Let the SuperNode of this process ask as `Pauses` says; why not, if it cannot be."""
    reason = lacks(
        start_client_internal, "time", "_pull_and_store_message", "_push_messages"
    ) or lacks(http_retry, "MAX_RETRY_DELAY")
    if reason:
        return reason

    pull_sooner()
    replace(start_client_internal, time=SimpleNamespace(sleep=Pauses(poll_s).sleep))
    replace(http_retry, MAX_RETRY_DELAY=RETRY_S)
    return ""
