"""Flower's SuperExec, whose tasks are answered by forks of a loaded process.

Flower 1.41 starts a new Python for each message, whose imports take longer than most answers. Here
SuperExec says through a pipe what is to be answered, and `clients.node.forks` answers it.
"""

import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import BinaryIO, Final, NoReturn

from flwr.supercore.cli import flower_superexec
from flwr.supercore.constant import TaskType
from flwr.supercore.retry import http_retry
from flwr.supercore.superexec import run_superexec
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult
from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor
from flwr.supernode.runtime import run_clientapp

from clients.node.forks import fork_on_request
from clients.node.pinned import lacks, replace
from clients.node.preload import Code
from fedtrade.nodes.process import tether
from fedtrade.nodes.settings import Role

__all__ = ["Executor", "ForkingExecutor", "why_not"]

POLL_S: Final = 0.02
READY_S: Final = 60.0


class ForkingExecutor(SubprocessExecutor):
    """Hands what ClientApps shall answer to the process that forks; the rest is Flower's.

    Parameters
    ----------
    requests : binary file
        Takes a line of JSON for each message.
    """

    def __init__(self, requests: BinaryIO) -> None:
        self._requests = requests

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Ask for a process."""
        if spec.task_type != TaskType.CLIENT_APP:
            return super().launch(spec)
        try:
            self._requests.write(json.dumps(asdict(spec)).encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            return LaunchResult.failed(f"the process that forks is gone ({error})")
        return LaunchResult.accepted()


class Executor:
    """SuperExec and the process that forks, as children of the SuperNode.

    They are forked before the SuperNode has threads, which a fork would not have: a lock that one
    of them holds would be held for ever. So this is for a process that has none.

    Parameters
    ----------
    runtime : str
        HOST:PORT where the SuperNode will have its own interface.
    secret : str
        File of what SuperExec shows there.
    code : {"installed", "bundle"}
        Whether this installation answers, or the code that comes with a run.
    role : {"participant", "key_holder"}
        Whose libraries are loaded.

    Attributes
    ----------
    options : tuple of str
        What `flower-supernode` must be told for it.
    """

    def __init__(self, runtime: str, secret: str, code: Code, role: Role) -> None:
        self._runtime, self._secret = runtime, secret
        self._code, self._role = code, role
        self.options = ("--isolation", "process", "--superexec-auth-secret-file", secret)

    def start(self) -> tuple[int, int]:
        """Fork both; their process ids."""
        reader, writer = os.pipe()
        gc.collect()
        gc.freeze()  # a collection would write to every page, which then is shared no more
        forker = _forked(lambda: self._serve(reader, writer))
        superexec = _forked(lambda: self._ask(reader, writer))
        os.close(reader)
        os.close(writer)
        return superexec, forker

    def _serve(self, reader: int, writer: int) -> None:
        os.close(writer)
        fork_on_request(reader, self._code, self._role)

    def _ask(self, reader: int, writer: int) -> None:
        os.close(reader)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        requests = os.fdopen(writer, "wb")
        replace(run_superexec, get_executor=lambda *_, **__: ForkingExecutor(requests))
        sys.argv = [
            *("flower-superexec", "--insecure", "--runtime-api-address", self._runtime),
            *("--superexec-auth-secret-file", self._secret, "--parent-pid", str(os.getppid())),
        ]
        _wait_for(self._runtime)
        flower_superexec()


def why_not() -> str:
    """Why processes cannot be warm; empty if they can."""
    if not hasattr(os, "fork"):
        return "this system cannot fork"
    return (
        lacks(run_superexec, "get_executor")
        or lacks(run_clientapp, "install_from_fab", "get_load_client_app_fn", "run_clientapp")
        or lacks(http_retry, "log")
    )


def _forked(act: Callable[[], None]) -> int:
    """Do something in a child that ends with this process, and no earlier for a SIGTERM."""
    pid = os.fork()
    if pid == 0:
        _act(act)
    return pid


def _act(act: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        tether(signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        # The launcher takes what is said of lost connections for the SuperNode's.
        replace(http_retry, log=lambda *_: None)
        act()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait_for(address: str) -> None:
    """Wait until somebody listens there, or for a minute."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
            return
        except OSError:
            time.sleep(POLL_S)
