"""Answer each message by a fork of a process that has its libraries loaded.

The process that forks is small. On the first message of a run it forks one that loads what answers
need, torch last, and that in turn forks for each message; it is let go when nothing has come for a
while, so that an idle node stays small. Neither has threads, whose locks a fork would find held for
ever, but for one of Arrow's allocator, which is made for forks; whatever answers starts its own.

With `code=installed` the fork answers by the ClientApp of this installation: the code that comes
with a run is neither unpacked nor imported. With `code=bundle` the run's own code answers, as it
does with Flower's executor.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, Self

from flwr.clientapp import ClientApp
from flwr.supercore.tls import validate_and_resolve_root_certificates
from flwr.supernode.runtime import run_clientapp

from clients.node.pinned import replace
from clients.node.preload import FIRST, REST, Code, preload
from fedtrade.nodes.process import tether
from fedtrade.nodes.settings import Role

__all__ = ["fork_on_request"]

IDLE_S: Final = 120.0
PACKAGES: Final = ("fedtrade", "strategies", "clients", "conf", "simulations")
REAP_S: Final = 0.5


def fork_on_request(reader: int, code: Code, role: Role, idle_s: float = IDLE_S) -> None:
    """Have each line that comes through a pipe answered, until it is closed.

    Parameters
    ----------
    reader : int
        File descriptor; each line is an `ExecutionSpec` of Flower's, as JSON.
    code : {"installed", "bundle"}
    role : {"participant", "key_holder"}
    idle_s : float
        How long libraries stay loaded when nothing comes.
    """
    with _Loaded(reader, code, role) as loaded:
        for lines in _lines(reader):
            _reap()
            for line in lines:
                loaded.answer(line)
            loaded.rest(idle_s)


class _Loaded:
    """The process with the libraries; there as long as there is something to answer."""

    def __init__(self, inherited: int, code: Code, role: Role) -> None:
        self._inherited, self._code, self._role = inherited, code, role
        self._writer: int | None = None
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def answer(self, line: bytes) -> None:
        """Let it fork for a line, starting it first if need be."""
        self._last = time.monotonic()
        for _ in range(2):
            if self._writer is None:
                self._writer = self._start()
            try:
                os.write(self._writer, line + b"\n")
                return
            except BrokenPipeError:  # it was killed
                self._end()

    def rest(self, idle_s: float) -> None:
        """Let it go if nothing was to be answered for a while."""
        if time.monotonic() - self._last > idle_s:
            self._end()

    def _start(self) -> int:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(writer)
            os.close(self._inherited)
            _serve(reader, self._code, self._role)
        os.close(reader)
        return writer

    def _end(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


def _serve(reader: int, code: Code, role: Role) -> NoReturn:
    """In a fork: load libraries and fork for each line, until there are no more."""
    tether()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    preload(FIRST[role], code)
    is_whole = False
    for lines in _lines(reader):
        _reap()
        for line in lines:
            if os.fork() == 0:
                os.close(reader)
                _answer(json.loads(line), code)
        if not is_whole:  # the first message is being answered meanwhile
            preload(REST[role], code)
            is_whole = True
    _wait_for_children()  # they would end with this process
    os._exit(0)


def _lines(reader: int) -> Iterator[list[bytes]]:
    """The lines that have come, if any, at least each half second, until the pipe is closed."""
    pending = b""
    while True:
        readable, _, _ = select.select([reader], [], [], REAP_S)
        if not readable:
            yield []
            continue
        chunk = os.read(reader, 65536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        yield lines


def _reap() -> None:
    """Take leave of children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _wait_for_children() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


def _answer(spec: dict[str, Any], code: Code) -> NoReturn:
    """In a fork: answer one message."""
    tether()
    status = 1
    try:
        if code == "installed":
            _use_installed()
        else:
            _forget_own()
        run_clientapp.run_clientapp(
            runtime_api_address=spec["runtime_api_address"],
            token=spec["token"],
            insecure=spec["insecure"],
            certificates=validate_and_resolve_root_certificates(
                spec["root_certificates_path"], spec["insecure"]
            ),
            parent_pid=os.getppid(),
            runtime_dependency_install=spec["runtime_dependency_install"],
        )
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _use_installed() -> None:
    """Answer by this installation, whatever code a run brings."""

    def load(**_: object) -> Callable[..., ClientApp]:
        from clients.client_app import app

        return lambda *_: app

    replace(run_clientapp, install_from_fab=lambda *_, **__: None, get_load_client_app_fn=load)


def _forget_own() -> None:
    """Let a run's code be imported in place of this installation's."""
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
