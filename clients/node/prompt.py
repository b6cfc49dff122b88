"""Flower's SuperNode, which asks the server again sooner.

Flower 1.41 sleeps 3 s after it has asked for a message in vain, and looks for a reply each 0.5 s.
Both are constants in one module, whose `time` is replaced here; after a lost connection it waits up
to 20 s before it tries again, which becomes 3 s. All else is Flower's own. If those modules are
others, the SuperNode runs as it is.
"""

import time
from types import SimpleNamespace
from typing import Final

from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal

from clients.node.pinned import lacks, replace
from fedtrade.nodes.pull_sooner import pull_sooner

__all__ = ["shorten_pauses"]

LONGEST_FLOWER_PAUSE_S: Final = 3.0
REPLY_POLL_S: Final = 0.02
RETRY_S: Final = 3


def shorten_pauses(poll_s: float) -> str:
    """Let the SuperNode of this process ask each `poll_s` seconds; why not, if it cannot be."""
    reason = lacks(
        start_client_internal, "time", "_pull_and_store_message", "_push_messages"
    ) or lacks(http_retry, "MAX_RETRY_DELAY")
    if reason:
        return reason

    def sleep(seconds: float) -> None:
        time.sleep(poll_s if seconds >= LONGEST_FLOWER_PAUSE_S else min(seconds, REPLY_POLL_S))

    pull_sooner()
    replace(start_client_internal, time=SimpleNamespace(sleep=sleep))
    replace(http_retry, MAX_RETRY_DELAY=RETRY_S)
    return ""
