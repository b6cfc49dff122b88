"""`fedtrade server`: a SuperLink, what stands before it, and one run on it, to its end."""

import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from fedtrade.checkpoint import can_resume
from fedtrade.errors import ConfigurationError, FedtradeError, NodeError
from fedtrade.folder_lock import held
from fedtrade.nodes.certificates import served_by
from fedtrade.nodes.flower import CONNECTION
from fedtrade.nodes.kits import AUTHORITY
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.provision import CERTIFICATE, CERTIFICATE_KEY
from fedtrade.nodes.registry import REGISTRY, Registry, stamp_of
from fedtrade.nodes.settings import ServerSettings
from fedtrade.nodes.signals import Stop
from fedtrade.nodes.submit import submit
from fedtrade.nodes.superlink import STATUS, SuperLink
from fedtrade.report.outputs import RESULTS
from fedtrade.settings import Settings

__all__ = ["Server", "prepared", "reason_of", "run_to_its_end"]

LOOPBACK: Final = "127.0.0.1"
MOST_STARTS: Final = 5
PAUSE_S: Final = 2.0
COMPLETED: Final = "finished:completed"
ROUTINE: Final = re.compile(
    r"\[uvicorn\.access\]|\[Fleet\.PushMessages\] Push replies|\[Fleet\.Get(Run|Fab)\] Requesting"
)
"""What a SuperLink says of each call, many times a round."""

LISTENING: Final = "Uvicorn running"
GATEWAY_S: Final = 30.0
TRACEBACK: Final = re.compile(r"\s*Traceback \(most recent call last\)")
RAISED: Final = re.compile(r"\s*fedtrade\.errors\.\w+: (.*)")
"""Both at the start of a line: within one they may be a participant's words."""


class Server:
    """The processes of the operator's machine; use it as a context.

    Parameters
    ----------
    settings : ServerSettings
    say : callable
        Called with a sentence on what happens.
    on_line : callable
        Called with who speaks and each line of output.
    """

    def __init__(
        self,
        settings: ServerSettings,
        say: Callable[[str], None],
        on_line: Callable[[str, str], None],
    ) -> None:
        self.settings, self._say, self._on_line = settings, say, on_line
        self.folder = Path(settings.folder)
        self._stack = ExitStack()
        self._gateway: Process | None = None

    def __enter__(self) -> "Server":
        settings = self.settings
        port = free_port(settings.host, settings.port, "server.port")
        if settings.monitor_port is not None:  # before anything starts; it is opened at the end
            free_port(settings.monitor_host, settings.monitor_port, "server.monitor_port")
        if settings.gateway:
            inner = free_port(LOOPBACK, settings.superlink_port, "server.superlink_port")
            self.host, self.port = LOOPBACK, inner
        else:
            self.host, self.port = settings.host, port
        try:
            self._stack.enter_context(held(self.folder, "server.folder"))
            (self.folder / STATUS).unlink(missing_ok=True)  # that of an earlier run
            self.start_superlink()
            self._stack.callback(lambda: self.superlink.stop())
            if settings.gateway:
                self._gateway_command = gateway_command(settings, port, self.superlink.address)
                self._stack.callback(self._stop_gateway)
                self._start_gateway()
            if settings.monitor_port is not None:
                self._start_monitor(settings.monitor_port)
        except BaseException:
            self._stack.close()
            raise
        self._say(f"Ready at {settings.host}:{port}.")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_superlink(self) -> None:
        """Start the SuperLink, and register the parties."""
        self._register_stamp = stamp_of(self.folder / REGISTRY)
        self.superlink = SuperLink(
            self.folder,
            self.host,
            self.port,
            self._hear_superlink,
            self._say,
            log=self.settings.log,
        )
        try:
            self.superlink.wait_until_ready()
            self.superlink.end_earlier_runs()
            for line in self.superlink.register():
                self._say(f"{line}.")
        except BaseException:
            self.superlink.stop()
            raise

    def restart_superlink(self) -> None:
        """Start it again; it has died, and what it started must not go on without it."""
        self._say("The SuperLink has died; starting it again.")
        self.superlink.stop()
        time.sleep(PAUSE_S)
        self.start_superlink()

    def keep_up(self, pause_s: float) -> None:
        """Wait a moment, and start again what has died."""
        time.sleep(pause_s)
        if self.superlink.process.status is not None:
            self.restart_superlink()
        self.keep_up_beside()

    def keep_up_beside(self) -> None:
        """Start the gateway again if it has died, and take up a register that has changed."""
        self._keep_gateway_up()
        self._keep_register()

    def _keep_register(self) -> None:
        stamp = stamp_of(self.folder / REGISTRY)
        if stamp == self._register_stamp:
            return
        self._register_stamp = stamp
        try:
            for line in self.superlink.register():
                self._say(f"{line}.")
        except FedtradeError as error:
            self._say(f"The register has changed and is not taken up: {error}")

    def _keep_gateway_up(self) -> None:
        if self._gateway is not None and self._gateway.status is not None:
            self._say("The gateway has died; starting it again.")
            self._stop_gateway()
            self._start_gateway()

    def _start_gateway(self) -> None:
        gateway = self._gateway = Process(
            self._gateway_command,
            name="the gateway",
            environment=self.superlink.environment,
            on_line=self._teller("gateway"),
        )
        gateway.wait_until(lambda: any(LISTENING in line for line in gateway.tail), GATEWAY_S)

    def _stop_gateway(self) -> None:
        if self._gateway is not None:
            self._gateway.stop()

    def _is_gateway_up(self) -> bool:
        return self._gateway is not None and self._gateway.status is None

    def _start_monitor(self, port: int) -> None:
        from fedtrade.nodes.monitor import Monitor

        monitor = Monitor(
            self.settings.monitor_host,
            port,
            status=self.superlink.status,
            is_up=lambda: self.superlink.answers(),
            stale_s=self.settings.monitor_stale_s,
            is_gateway_up=self._is_gateway_up if self.settings.gateway else None,
            expires=served_by((self.folder / CERTIFICATE).read_bytes()).until,
        )
        monitor.start()
        self._stack.callback(monitor.stop)
        self._say(f"Monitor at http://{self.settings.monitor_host}:{monitor.port}/metrics.")

    def _hear_superlink(self, line: str) -> None:
        if not ROUTINE.search(line):
            self._on_line("superlink", line)

    def _teller(self, who: str) -> Callable[[str], None]:
        return lambda line: self._on_line(who, line)


def gateway_command(settings: ServerSettings, port: int, upstream: str) -> list[str]:
    """The command of the process that the outside reaches."""
    folder = Path(settings.folder)
    return [
        *(sys.executable, "-m", "fedtrade.nodes.gateway"),
        *("--host", settings.host, "--port", str(port)),
        *("--certificate", str(folder / CERTIFICATE), "--key", str(folder / CERTIFICATE_KEY)),
        *("--upstream", upstream, "--authority", str(folder / AUTHORITY)),
        *("--registry", str(folder / REGISTRY)),
        *("--limits", settings.gateway_limits.model_dump_json()),
    ]


def prepared(settings: Settings, server: ServerSettings) -> Settings:
    """The run's settings, with what the server knows: who is registered, and where it stopped.

    Raises
    ------
    ConfigurationError
        If there is no such folder, or if more participants, or another number of key holders, are
        wanted than are registered.
    """
    folder = Path(server.folder)
    if not folder.is_dir():
        raise ConfigurationError(
            f"server.folder={folder} is not there; name the folder that `fedtrade provision` made "
            "for the server with server.folder=DIR."
        )
    parties = Registry.read(folder / REGISTRY).active
    n = sum(party.role == "participant" for party in parties)
    n_holders = len(parties) - n
    wanted = settings.federation.n_participants
    if wanted is not None and wanted > n:
        raise ConfigurationError(
            f"federation.n_participants={wanted}, and {n} participants are registered; lower it, "
            "or add them to consortium.yaml and run `fedtrade provision`."
        )
    if settings.aggregation.n_key_holders > n_holders:
        raise ConfigurationError(
            f"aggregation={settings.aggregation.mode} needs a key holder, and none is registered; "
            "add one under key_holders to consortium.yaml and run `fedtrade provision`."
        )
    values = settings.to_mapping()
    values["federation"]["n_participants"] = wanted or n
    values["out"] = str(Path(settings.out).absolute())
    values["progress"] = "plain"
    return Settings.from_mapping(values)


def run_to_its_end(
    server: Server,
    settings: Settings,
    say: Callable[[str], None],
    on_line: Callable[[str], None],
    stop: Stop,
    *,
    fresh: bool = False,
) -> None:
    """Submit a run and follow it; where it stops half-way, go on from its last checkpoint.

    Parameters
    ----------
    fresh : bool
        Begin anew, whatever an earlier run has left.

    Raises
    ------
    NodeError
        If it fails, with the reason that it gave; or if the SuperLink dies again and again.
    """
    out = Path(settings.out)
    for start in range(MOST_STARTS):
        is_begun = can_resume(out, settings) and not (out / RESULTS).exists()
        resume = is_begun and not (fresh and start == 0)
        if resume:
            say(f"Going on from the checkpoint in {out}.")
        lines: list[str] = []

        def heard(line: str, lines: list[str] = lines) -> None:
            lines.append(line)
            on_line(line)

        chosen = settings.model_copy(update={"resume": resume})
        run_id = _attempt(server, chosen, say, heard, stop)
        if stop():
            return
        if server.superlink.process.status is not None:
            server.restart_superlink()
            continue
        if server.superlink.run_status(run_id) == COMPLETED:
            return
        if any(TRACEBACK.match(line) for line in lines):
            raise NodeError(reason_of(lines) or f"the run {run_id} failed; see the lines above.")
        say(f"The process of the run {run_id} has died; starting it again.")
    raise NodeError(f"the run has been cut off {MOST_STARTS} times; see the lines above.")


def _attempt(
    server: Server,
    settings: Settings,
    say: Callable[[str], None],
    on_line: Callable[[str], None],
    stop: Stop,
) -> str:
    """Submit the run once; its id, empty if the SuperLink died before."""
    link = server.superlink

    def is_over() -> bool:
        server.keep_up_beside()
        return stop() or link.process.status is not None

    try:
        return submit(settings, link.environment, CONNECTION, on_line, is_over, say)
    except NodeError:
        if link.process.status is None:
            raise
        return ""


def reason_of(lines: list[str]) -> str:
    """What a ServerApp raised, if it was one of our errors."""
    found = [match for line in lines if (match := RAISED.match(line))]
    return found[-1].group(1) if found else ""
