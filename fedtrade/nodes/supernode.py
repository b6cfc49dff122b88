"""A SuperNode: the processes of one party's machine, and what their complaints mean."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fedtrade.errors import NodeError
from fedtrade.nodes.flower import command_line, environment, tool
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, write_local_settings
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.private_files import check_private, write_private
from fedtrade.nodes.process import Process, ignore
from fedtrade.nodes.settings import ClientSettings
from fedtrade.nodes.symptoms import Symptom, symptom_of

__all__ = ["SuperNode", "node_command"]

HOME: Final = "flwr"
SECRET: Final = "superexec.secret"
JOINED: Final = "SuperNode ID:"
RUNTIME: Final = "127.0.0.1"
LEAST_WAIT_S: Final = 5.0
POLL: Final = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"


class SuperNode:
    """One party's node: Flower's SuperNode, and with `executor=warm` what answers beside it.

    Parameters
    ----------
    settings : ClientSettings
    on_line : callable
        Called with each line of its processes' output.
    say : callable
        Called with a sentence on what happens.

    Raises
    ------
    ConfigurationError
        If a private key is missing, or others may read it.
    NodeError
        If the port is taken, or a process does not start.
    """

    def __init__(
        self,
        settings: ClientSettings,
        on_line: Callable[[str], None] = ignore,
        say: Callable[[str], None] = ignore,
    ) -> None:
        self.settings, self._on_line, self._say = settings, on_line, say
        self.folder = Path(settings.state).absolute()
        check_private(Path(settings.key))
        if settings.identity_key is not None:
            check_private(Path(settings.identity_key))
        self._local = write_local_settings(settings)
        self._environment = environment(
            self.folder / HOME, **{POLL: "0.1"} if settings.executor == "warm" else {}
        )
        self._secret = self.folder / SECRET
        write_private(self._secret, os.urandom(32))
        self.processes: list[Process] = []
        self._symptom: Symptom | None = None
        self.joined = False

    def start(self) -> None:
        """Start its processes."""
        port = free_port(RUNTIME, self.settings.port, "port")
        self.joined, self._symptom = False, None
        self.commands = commands(self.settings, self._local, self._secret, port)
        for command in self.commands:
            self._say(command_line(command))
            self.processes.append(
                Process(
                    command,
                    name=f"the node {self.settings.name}",
                    environment=self._environment,
                    on_line=self._heard,
                )
            )

    @property
    def is_running(self) -> bool:
        """Whether all of its processes run."""
        return bool(self.processes) and all(p.status is None for p in self.processes)

    @property
    def pid(self) -> int:
        """That of Flower's SuperNode."""
        return self.processes[0].pid

    def wait_until_joined(self, timeout_s: float) -> None:
        """Wait until the server knows it.

        Raises
        ------
        NodeError
            If it does not come to that.
        """
        self.processes[0].wait_until(lambda: self.joined or not self.is_running, timeout_s)
        if not self.joined:
            raise NodeError(self.complaint)

    @property
    def complaint(self) -> str:
        """Why it ended, in a sentence."""
        if self._symptom is not None:
            return self._symptom.sentence
        ended = next((p for p in self.processes if p.status is not None), None)
        if ended is None:
            return f"the node {self.settings.name} runs."
        return f"{ended.name} ended with status {ended.status}: {ended.last_words}."

    @property
    def may_come_back(self) -> bool:
        """Whether starting it again may help."""
        return self._symptom is not None and self._symptom.is_passing

    def serve(self, is_stopped: Callable[[], bool]) -> None:
        """Run until it is stopped; start again where the server still believes in an earlier one.

        Raises
        ------
        NodeError
            If it ends by itself and starting again does not help.
        """
        give_up = time.monotonic() + self.settings.rejoin_s
        while True:
            self.start()
            was_there = False
            while self.is_running and not is_stopped():
                if self.joined and not was_there:
                    was_there = True
                    self._say(f"{self.settings.name} has joined {self.settings.superlink}.")
                time.sleep(0.1)
            self.stop()
            if is_stopped():
                return
            if was_there:
                give_up = time.monotonic() + self.settings.rejoin_s
            if not self.may_come_back or time.monotonic() > give_up:
                raise NodeError(self.complaint)
            self._say(f"{self.complaint} Trying again.")
            time.sleep(2.0)

    def stop(self) -> None:
        """Stop its processes, Flower's SuperNode first."""
        for process in self.processes:
            process.stop()
        self.processes = []

    def kill(self) -> None:
        """End all of its processes at once, as a power cut would."""
        for process in self.processes:
            process.kill()
        self.processes = []

    def _heard(self, line: str) -> None:
        self.joined = self.joined or JOINED in line
        self._symptom = symptom_of(line, self.settings) or self._symptom
        self._on_line(line)


def commands(
    settings: ClientSettings, local: Path, secret: Path, port: int
) -> tuple[list[str], ...]:
    """The commands of a node's processes: Flower's SuperNode, and what executes beside it."""
    own = node_command(settings, local, port)
    if settings.executor == "stock":
        return (own,)
    isolated = [*own[1:], "--isolation", "process", "--superexec-auth-secret-file", str(secret)]
    prompt = [sys.executable, "-m", "clients.node.supernode", "--poll-s", f"{settings.poll_s:g}"]
    executor = [
        *(sys.executable, "-m", "clients.node.superexec", "--insecure"),
        *("--runtime-api-address", f"{RUNTIME}:{port}"),
        *("--superexec-auth-secret-file", str(secret), "--code", settings.code),
        *("--parent-pid", str(os.getpid())),
    ]
    return ([*prompt, "--", *isolated], executor)


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
