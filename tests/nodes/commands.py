"""The commands `fedtrade ...` as processes, and a consortium for them to run in."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.flower import environment
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.provision import provision
from tests.conftest import make_market

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]


class Command:
    """One `fedtrade` command that runs, and what it has said."""

    def __init__(self, *arguments: str, home: Path, **variables: str) -> None:
        self.lines: list[str] = []
        self.process = Process(
            [sys.executable, "-m", "fedtrade.cli", *arguments],
            name=f"fedtrade {arguments[0]}",
            environment=environment(home, PYTHONPATH=str(ROOT), COLUMNS="100", **variables),
            on_line=self.lines.append,
        )

    def wait_for(self, text: str, timeout_s: float = 120.0, *, since: int = 0) -> str:
        """The first line behind `since` with a text in it; waits for it to come."""
        end = time.monotonic() + timeout_s
        while True:
            found = next((line for line in self.lines[since:] if text in line), None)
            if found is not None:
                return found
            assert self.process.status is None, self.said
            assert time.monotonic() < end, f"{text!r} was not said in time: {self.said}"
            time.sleep(0.05)

    def wait(self, timeout_s: float = 120.0) -> int:
        """Its exit status."""
        status = self.process.wait(timeout_s)
        assert status is not None, self.said
        return status

    def pid(self, name: str) -> int:
        """That of the process below it whose command has a text in it, before those it forks."""
        return next(one.pid for one in self.family() if name in one.command)

    def family(self) -> list["Seen"]:
        """All processes that it has started."""
        return below(self.process.pid)

    @property
    def said(self) -> str:
        return "\n".join(self.lines[-40:])


@dataclass(frozen=True)
class Place:
    """A provisioned consortium in a folder, and how its commands are called."""

    folder: Path
    names: tuple[str, ...]
    port: int

    @property
    def consortium(self) -> Path:
        return self.folder / "consortium"

    @property
    def prices(self) -> Path:
        """Those of all participants; the first asset is the first participant's, and so on."""
        return self.folder / "prices.csv"

    @property
    def server_folder(self) -> Path:
        return self.consortium / "server"

    @contextmanager
    def server(self, *overrides: str) -> Iterator[Command]:
        yield from _running(
            self,
            "server",
            f"server.folder={self.server_folder}",
            f"server.host={HOST}",
            f"server.port={self.port}",
            "server.monitor_port=null",
            *overrides,
        )

    @contextmanager
    def client(self, name: str, *overrides: str) -> Iterator[Command]:
        yield from _running(
            self,
            "client",
            f"kit={self.consortium / 'kits' / name}",
            f"data.path={self.folder / name}.csv",
            "allow.modes=[plain,masked]",
            "allow.scores=by_participant",
            *overrides,
        )


def make_place(folder: Path, names: Sequence[str], n_bars: int = 200) -> Place:
    """Provision a consortium on loopback, whose participants have an asset each."""
    port = free_port(HOST, 0, "port")
    members = [{"name": name} for name in names]
    server = {"address": f"{HOST}:{port}"}
    consortium = Consortium.from_mapping(
        {"name": "test", "server": server, "participants": members}
    )
    provision(consortium, folder / "consortium")
    panel = make_market(n_bars=n_bars, n_assets=len(names))
    frame = pd.DataFrame(panel.close, columns=list(panel.assets), index=panel.bars)
    for name, asset in zip(names, panel.assets, strict=True):
        frame[[asset]].to_csv(folder / f"{name}.csv", index_label="date")
    place = Place(folder, tuple(names), port)
    frame.to_csv(place.prices, index_label="date")
    return place


def _running(place: Place, *arguments: str) -> Iterator[Command]:
    command = Command(*arguments, home=place.folder / "home")
    try:
        yield command
    finally:
        family = command.family()
        command.process.stop(30.0)
        for one in family:  # where a test has failed
            if one.is_there:
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Seen:
    """A process, told from a later one of the same number by when it began."""

    pid: int
    began: str
    command: str

    @property
    def is_there(self) -> bool:
        """Whether it runs."""
        return any(began == self.began for _, _, began in _stat(self.pid))


def below(pid: int) -> list[Seen]:
    """All descendants of a process."""
    children: dict[int, list[Seen]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for parent, command, began in _stat(int(entry.name)):
                children.setdefault(parent, []).append(Seen(int(entry.name), began, command))
    found: list[Seen] = []
    new = children.get(pid, [])
    while new:
        found += new
        new = [child for parent in new for child in children.get(parent.pid, [])]
    return found


def processes_that_name(folder: Path) -> list[Seen]:
    """All other processes that have a folder in their command or environment."""
    name, found = str(folder).encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if name in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found += [
                        Seen(int(entry.name), began, command)
                        for _, command, began in _stat(int(entry.name))
                    ]
    return found


def wait_until_gone(family: Sequence[Seen], timeout_s: float = 30.0) -> None:
    """Wait until processes have ended."""
    end = time.monotonic() + timeout_s
    while left := [one for one in family if one.is_there]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.1)


def _stat(pid: int) -> Iterator[tuple[int, str, str]]:
    """Parent, command line and beginning of a process; nothing if it has ended."""
    place = Path(f"/proc/{pid}")
    try:
        state, parent, *rest = place.joinpath("stat").read_text().rpartition(")")[2].split()
        command = place.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return
    if state not in "ZX":
        yield int(parent), command, rest[17]
