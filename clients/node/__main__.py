"""One party's node: Flower's SuperNode, and what answers for it.

    python -P -m clients.node --poll-s 0.2 --code installed --role participant --secret FILE -- \
        ARGUMENTS OF flower-supernode

Flower's libraries are loaded once. Before it has threads this process forks those that answer, and
then is the SuperNode. They end with it, and it ends with them, for its launcher to start it again.
Where Flower is another one, or the system cannot fork, the SuperNode runs with its own executor.

`-P` keeps the folder that it is started in from being searched for modules.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Collection
from types import FrameType
from typing import Final, NoReturn, get_args

from flwr.supernode.cli import flower_supernode

from clients.node.executor import Executor, why_not
from clients.node.prompt import shorten_pauses
from fedtrade.nodes.settings import Role

__all__ = ["main"]

BROKEN_OFF: Final = 1
GRACE_S: Final = 5.0
LAST_S: Final = 0.1
"""If one has been killed the other ends by itself, and may be seen first."""


class _Alone(BaseException):
    """What answers beside the SuperNode has ended."""


def main() -> None:
    """Run the node."""
    parser = argparse.ArgumentParser(prog="python -P -m clients.node", allow_abbrev=False)
    parser.add_argument("--poll-s", type=float, required=True)
    parser.add_argument("--code", choices=("installed", "bundle"), required=True)
    parser.add_argument("--role", choices=get_args(Role), required=True)
    parser.add_argument("--secret", required=True)
    own, rest = parser.parse_known_args()
    flowers = [text for text in rest if text != "--"]
    reason = shorten_pauses(own.poll_s)
    if reason:
        print(f"The SuperNode keeps its own pauses: {reason}.", file=sys.stderr)
    reason = why_not()
    if not reason:
        executor = Executor(_runtime_of(flowers), own.secret, own.code, own.role)
        _end_with(executor.start())
        flowers += executor.options
    elif own.code == "installed":
        sys.exit(
            f"code=installed needs the warm executor ({reason}); set code=bundle executor=stock to "
            "let the code that comes with a run answer."
        )
    else:
        print(f"A new process answers each message: {reason}.", file=sys.stderr)
    _run_supernode(flowers)


def _runtime_of(flowers: list[str]) -> str:
    """HOST:PORT of the SuperNode's own interface."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True)
    known, _ = parser.parse_known_args(flowers)
    return f"{known.host}:{known.port}"


def _run_supernode(flowers: list[str]) -> None:
    sys.argv = ["flower-supernode", *flowers]
    try:
        flower_supernode()
    except _Alone as reason:
        print(reason, file=sys.stderr)
    # Where its loop has broken off, a thread of its interface would keep the process for ever.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(BROKEN_OFF)


def _end_with(children: Collection[int]) -> None:
    """Let the SuperNode take leave of the server and end as soon as one of the children has."""

    def see(number: int, frame: FrameType | None) -> None:
        ended = _ended(children)
        if not ended:
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        time.sleep(LAST_S)
        statuses = {**_ended(set(children) - set(ended)), **ended}.values()
        status = next((status for status in statuses if status), 0)
        reason = f"What answers for this node has ended with status {status}."
        last = threading.Timer(GRACE_S, _give_up, (reason,))
        last.daemon = True
        last.start()
        raise _Alone(reason)

    signal.signal(signal.SIGCHLD, see)
    see(signal.SIGCHLD, None)  # for one that has ended already


def _give_up(reason: str) -> NoReturn:
    """End where the SuperNode takes too long to take leave, as of a server that is away."""
    os.write(2, f"{reason}\n".encode())  # whatever holds the lock of `sys.stderr`
    os._exit(BROKEN_OFF)


def _ended(children: Collection[int]) -> dict[int, int]:
    """Exit statuses of those that have ended, by process id."""
    seen = (os.waitpid(child, os.WNOHANG) for child in children)
    return {pid: os.waitstatus_to_exitcode(status) for pid, status in seen if pid}


if __name__ == "__main__":
    main()
