"""A SuperNode: the process of one party's machine, and what its complaints mean."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fedtrade.errors import ConfigurationError, NodeError
from fedtrade.nodes.clock import clock_lead_s
from fedtrade.nodes.flower import command_line, environment, tool
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, write_local_settings
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process, ignore
from fedtrade.nodes.settings import ClientSettings
from fedtrade.nodes.symptoms import Symptom, symptom_of
from fedtrade.private_files import check_private, write_private

__all__ = ["SuperNode", "node_command"]

HOME: Final = "flwr"
SECRET: Final = "superexec.secret"
JOINED: Final = "SuperNode ID:"
RETRYING: Final = "Connection attempt failed"
BACK: Final = "Connection successful after"
GAVE_UP: Final = "Giving up reconnection"
RUNTIME: Final = "127.0.0.1"
LEAST_WAIT_S: Final = 5.0
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 15.0
MOST_LEAD_S: Final = 4.0
MOST_LAG_S: Final = 300.0
"""Flower refuses a signature that is 5 s ahead of the server's clock, or 305 s behind."""

HEARD: Final = 200
POLL_S: Final = 0.1
POLL: Final = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"
MATPLOTLIB: Final = "MPLCONFIGDIR"
"""Where it keeps its cache, which else is in the home folder."""


class SuperNode:
    """One party's node: Flower's SuperNode, and with `executor=warm` what answers below it.

    Parameters
    ----------
    settings : ClientSettings
    on_line : callable
        Called with each line of its output.
    say : callable
        Called with a sentence on what happens.

    Attributes
    ----------
    joined : bool
        Whether the server knows it.
    heard : deque of str
        The latest lines of its output.

    Raises
    ------
    ConfigurationError
        If a private key is missing, or others may read it; or if a run's code would answer though
        the settings say `code=installed`.
    NodeError
        If the port is taken, or the process does not start.
    """

    def __init__(
        self,
        settings: ClientSettings,
        on_line: Callable[[str], None] = ignore,
        say: Callable[[str], None] = ignore,
    ) -> None:
        self.settings, self._on_line, self._say = settings, on_line, say
        self.folder = Path(settings.state).absolute()
        if settings.executor == "stock" and settings.code == "installed":
            raise ConfigurationError(
                "executor=stock lets the code that comes with a run answer, whatever it is; set "
                "code=bundle too if you want that, or executor=warm."
            )
        check_private(Path(settings.key))
        if settings.identity_key is not None:
            check_private(Path(settings.identity_key))
        self._local = write_local_settings(settings)
        home = self.folder / HOME
        further = {MATPLOTLIB: str(home / "matplotlib")}  # which a baseline's library imports
        if settings.executor == "warm":
            further[POLL] = "0.1"
        self._environment = environment(home, **further)
        self._secret = self.folder / SECRET
        write_private(self._secret, os.urandom(32))
        self._process: Process | None = None
        self._symptom: Symptom | None = None
        self._has_given_up = self._is_cut_off = False
        self.joined = False
        self.heard: deque[str] = deque(maxlen=HEARD)

    def start(self) -> None:
        """Start its process."""
        port = free_port(RUNTIME, self.settings.port, "port")
        self.joined, self._symptom = False, None
        self._has_given_up = self._is_cut_off = False
        command = node_command(self.settings, self._local, port)
        if self.settings.executor == "warm":
            command = _warm(command, self.settings, self._secret)
        self._say(command_line(command))
        self._process = Process(
            command,
            name=f"the node {self.settings.name}",
            environment=self._environment,
            on_line=self._heard,
        )

    @property
    def is_running(self) -> bool:
        """Whether it runs, and has not given up."""
        # Flower's SuperNode stays there for ever when it has given up, and does nothing.
        is_there = self._process is not None and self._process.status is None
        return is_there and not self._has_given_up

    @property
    def pid(self) -> int:
        """That of Flower's SuperNode, and of the group of all that it starts."""
        return self._started.pid

    @property
    def _started(self) -> Process:
        if self._process is None:
            raise NodeError(f"the node {self.settings.name} has not been started.")
        return self._process

    def wait_until_joined(self, timeout_s: float) -> None:
        """Wait until the server knows it.

        Raises
        ------
        NodeError
            If it does not come to that.
        """
        self._started.wait_until(lambda: self.joined or not self.is_running, timeout_s)
        if not self.joined:
            raise NodeError(self.complaint)

    @property
    def may_join_if_started_again(self) -> bool:
        """Whether it has ended of what may pass."""
        is_passing = self._symptom is not None and self._symptom.course == "passing"
        return is_passing and not self.is_running

    @property
    def complaint(self) -> str:
        """Why it ended, in a sentence."""
        if self._symptom is not None:
            wrong = self._wrong_clock() if self._symptom.course == "shut_out" else ""
            return wrong or self._symptom.sentence
        process = self._process
        if process is None or process.status is None:
            return f"{self.settings.name}: the node runs."
        return f"{process.name} ended with status {process.status}: {process.last_words}."

    def serve(self, is_stopped: Callable[[], bool]) -> None:
        """Run until it is stopped; start again whatever ends it, as long as that may help.

        A node that the server has known waits for it for ever; one that it has not known yet tries
        for `rejoin_s`.

        Raises
        ------
        NodeError
            If starting it again does not help.
        """
        was_member, pause_s = False, FIRST_PAUSE_S
        give_up = time.monotonic() + self.settings.rejoin_s
        while True:
            self.start()
            is_member = self._watch(is_stopped)
            reason = "" if is_stopped() else self.complaint
            self.stop()
            if is_stopped():
                return
            if is_member:
                was_member, pause_s = True, FIRST_PAUSE_S
                give_up = time.monotonic() + self.settings.rejoin_s
            elif not self._may_come_back(was_member, give_up):
                raise NodeError(reason)
            self._say(f"{reason} Trying again.")
            _sleep(pause_s, is_stopped)
            pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)

    def _watch(self, is_stopped: Callable[[], bool]) -> bool:
        """Wait until it is stopped or has ended; whether it has joined."""
        is_member = False
        while self.is_running and not is_stopped():
            if self.joined and not is_member:
                is_member = True
                self._say(f"{self.settings.name} has joined {self.settings.superlink}.")
            time.sleep(POLL_S)
        return self.joined

    def _may_come_back(self, was_member: bool, give_up: float) -> bool:
        course = "lasting" if self._symptom is None else self._symptom.course
        is_waited_for = course == "away" and was_member
        return is_waited_for or (course != "lasting" and time.monotonic() < give_up)

    def _wrong_clock(self) -> str:
        """What is wrong with this machine's clock; empty if nothing is known to be."""
        authority = Path(self.settings.root_certificates)
        lead_s = clock_lead_s(self.settings.superlink, authority)
        if lead_s is None or -MOST_LAG_S < lead_s < MOST_LEAD_S:
            return ""
        side = "ahead of" if lead_s > 0 else "behind"
        return (
            f"{self.settings.name}: this machine's clock is {abs(lead_s):.0f} s {side} that of the "
            f"server {self.settings.superlink}, which therefore takes nothing from it; set it."
        )

    def stop(self) -> None:
        """Let it take leave of the server and stop."""
        if self._process is not None:
            self._process.stop()
        self._process, self.joined = None, False

    def kill(self) -> None:
        """End it with all that it has started at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
        self._process, self.joined = None, False

    def _heard(self, line: str) -> None:
        """What to do with a line of its output."""
        self.joined = self.joined or JOINED in line
        self._has_given_up = self._has_given_up or GAVE_UP in line
        name, server = self.settings.name, self.settings.superlink
        if RETRYING in line and not self._is_cut_off:
            self._is_cut_off = True
            self._say(f"{name}: the server {server} does not answer; trying on.")
        elif BACK in line and self._is_cut_off:
            self._is_cut_off = False
            self._say(f"{name}: the server {server} answers.")
        self.heard.append(line)
        self._symptom = symptom_of(line, self.settings) or self._symptom
        self._on_line(line)


def _warm(flowers: list[str], settings: ClientSettings, secret: Path) -> list[str]:
    """The command that runs Flower's with a faster executor."""
    return [
        *(sys.executable, "-P", "-m", "clients.node", "--poll-s", f"{settings.poll_s:g}"),
        *("--code", settings.code, "--role", settings.role, "--secret", str(secret)),
        *("--", *flowers[1:]),
    ]


def node_command(settings: ClientSettings, local: Path, port: int) -> list[str]:
    """Flower's command that starts a party's SuperNode."""
    config = {
        "role": '"{}"'.format(settings.role.replace("_", "-")),
        "partition-id": str(settings.number),
        LOCAL_SETTINGS: f'"{local}"',
    }
    if settings.identity_key is not None:
        config["identity-key"] = f'"{Path(settings.identity_key).absolute()}"'
    return [
        tool("flower-supernode"),
        "--root-certificates",
        str(Path(settings.root_certificates).absolute()),
        "--superlink",
        settings.superlink,
        "--max-wait-time",
        f"{max(settings.rejoin_s, LEAST_WAIT_S):g}",
        "--host",
        RUNTIME,
        "--port",
        str(port),
        "--auth-supernode-private-key",
        str(Path(settings.key).absolute()),
        "--node-config",
        " ".join(f"{name}={value}" for name, value in config.items()),
    ]


def _sleep(seconds: float, is_stopped: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_stopped():
        time.sleep(POLL_S)
