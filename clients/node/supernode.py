"""Flower's SuperNode, which asks the server again sooner.

Flower 1.41 sleeps 3 s after it has asked for a message in vain, and looks for a reply each 0.5 s.
Both are constants in one module, whose `time` is replaced here; after a lost connection it waits up
to 20 s before it tries again, which becomes 3 s. All else is Flower's own. If those modules are
others, the SuperNode runs as it is.

Where the SuperNode's loop breaks off, a thread of its own interface keeps Flower's process for
ever; this one ends.

    python -m clients.node.supernode --poll-s 0.2 -- ARGUMENTS OF flower-supernode
"""

import argparse
import os
import sys
import time
from types import SimpleNamespace
from typing import Final

from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal
from flwr.supernode.cli import flower_supernode

from clients.node.pinned import lacks, replace
from fedtrade.nodes.pull_sooner import pull_sooner

__all__ = ["main", "shorten_pauses"]

LONGEST_FLOWER_PAUSE_S: Final = 3.0
REPLY_POLL_S: Final = 0.02
RETRY_S: Final = 3
BROKEN_OFF: Final = 1


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


def main() -> None:
    """Run the SuperNode."""
    parser = argparse.ArgumentParser(prog="python -m clients.node.supernode")
    parser.add_argument("--poll-s", type=float, required=True)
    own, flowers = parser.parse_known_args()
    reason = shorten_pauses(own.poll_s)
    if reason:
        print(f"The SuperNode keeps its own pauses: {reason}.", file=sys.stderr)
    sys.argv = ["flower-supernode", *(text for text in flowers if text != "--")]
    flower_supernode()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(BROKEN_OFF)


if __name__ == "__main__":
    main()
