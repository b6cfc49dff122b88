"""Flower's SuperExec with warm processes: each message is answered by a fork of a loaded one.

Flower 1.41 starts a new Python for each message, whose imports take longer than most answers. Here
one process loads libraries once and forks for each message. It has no threads, so that a fork is
safe; SuperExec itself runs in a first fork and says through a pipe what is to be answered. The
largest libraries, torch among them, are loaded by a second such process, which is there from the
first message of a run to a while after the last, so that an idle node stays small.

With `--code installed` the fork answers by the ClientApp of this installation: the code that comes
with a run is neither unpacked nor imported. With `--code bundle` the run's own code answers, as it
does with Flower's executor.

    python -m clients.node.superexec --code installed ARGUMENTS OF flower-superexec

Where Flower is another one, or the system cannot fork, Flower's SuperExec runs as it is.
"""

import argparse
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, BinaryIO, Final, Literal, NoReturn, Self

from flwr.clientapp import ClientApp
from flwr.supercore.cli import flower_superexec
from flwr.supercore.constant import TaskType
from flwr.supercore.superexec import run_superexec
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult
from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor
from flwr.supercore.tls import validate_and_resolve_root_certificates
from flwr.supernode.runtime import run_clientapp

from clients.node.pinned import lacks, replace
from fedtrade.nodes.process import tether
from fedtrade.nodes.pull_sooner import pull_sooner

__all__ = ["ForkingExecutor", "main"]

Code = Literal["installed", "bundle"]

LIBRARIES: Final = ("numpy", "pandas", "scipy.special", "pydantic", "cryptography.x509")
OWN: Final = ("clients.client_app", "fedtrade.holdings", "fedtrade.market")
LARGE: Final = ("torch",)
LARGE_OWN: Final = ("fedtrade.tasks.risk", "fedtrade.tasks.signal", "fedtrade.tasks.volatility")
IDLE_S: Final = 120.0
PACKAGES: Final = ("fedtrade", "strategies", "clients", "conf", "simulations")
REAP_S: Final = 0.5


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


def main() -> None:
    """Run SuperExec and whatever answers for it."""
    parser = argparse.ArgumentParser(prog="python -m clients.node.superexec")
    parser.add_argument("--code", choices=("installed", "bundle"), required=True)
    own, flowers = parser.parse_known_args()
    sys.argv = ["flower-superexec", *flowers]
    reason = _why_not()
    if reason:
        print(f"A new process answers each message, with the run's code: {reason}.", flush=True)
        if own.code == "installed":
            sys.exit(
                "code=installed needs the warm executor; set code=bundle executor=stock to let "
                "the code that comes with a run answer."
            )
        flower_superexec()
        return
    pull_sooner()
    _load(LIBRARIES, OWN, own.code)
    reader, writer = os.pipe()
    superexec = os.fork()
    if superexec == 0:
        os.close(reader)
        _run_superexec(writer)
    os.close(writer)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(superexec, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(_fork_on_request(reader, superexec, own.code))


def _why_not() -> str:
    """Why processes cannot be warm; empty if they can."""
    if not hasattr(os, "fork"):
        return "this system cannot fork"
    return lacks(run_superexec, "get_executor") or lacks(
        run_clientapp, "install_from_fab", "get_load_client_app_fn", "run_clientapp"
    )


def _load(libraries: tuple[str, ...], own: tuple[str, ...], code: Code) -> None:
    """Import libraries and, if this installation answers, parts of it."""
    for name in libraries + (own if code == "installed" else ()):
        importlib.import_module(name)


def _run_superexec(writer: int) -> NoReturn:
    tether()
    requests = os.fdopen(writer, "wb")
    replace(run_superexec, get_executor=lambda *_, **__: ForkingExecutor(requests))
    status = 0
    try:
        flower_superexec()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _fork_on_request(reader: int, superexec: int, code: Code) -> int:
    """Have each line answered until SuperExec ends; its exit status."""
    with _Loaded(reader, code) as loaded:
        for lines in _lines(reader):
            status = _reap(superexec)
            if status is not None:
                return status
            for line in lines:
                loaded.answer(line)
            loaded.rest()
    _, wait_status = os.waitpid(superexec, 0)
    return abs(os.waitstatus_to_exitcode(wait_status))


class _Loaded:
    """The process with the large libraries; there as long as there is something to answer."""

    def __init__(self, reader: int, code: Code) -> None:
        self._inherited, self._code = reader, code
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

    def rest(self) -> None:
        """Let it go if nothing was to be answered for a while."""
        if time.monotonic() - self._last > IDLE_S:
            self._end()

    def _start(self) -> int:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(writer)
            os.close(self._inherited)
            _serve(reader, self._code)
        os.close(reader)
        return writer

    def _end(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


def _serve(reader: int, code: Code) -> NoReturn:
    """In a fork: load the large libraries and fork for each line, until there are no more."""
    tether()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _load(LARGE, LARGE_OWN, code)
    for lines in _lines(reader):
        _reap()
        for line in lines:
            if os.fork() == 0:
                os.close(reader)
                _answer(json.loads(line), code)
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


def _reap(wanted: int = 0) -> int | None:
    """Take leave of children that ended; the exit status of one of them if it did."""
    while True:
        try:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == wanted:
            return abs(os.waitstatus_to_exitcode(wait_status))


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


if __name__ == "__main__":
    main()
