"""A SuperLink: start it, see that it is ready, and tell it which parties there are."""

import json
import os
import ssl
import sys
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from fedtrade.atomic import write_atomically
from fedtrade.errors import ConfigurationError, NodeError
from fedtrade.nodes.flower import (
    CONNECTION,
    command_line,
    environment,
    tool,
    write_connection,
)
from fedtrade.nodes.flower_commands import flwr, json_of, run_status
from fedtrade.nodes.kits import AUTHORITY
from fedtrade.nodes.logs import LOG_VARIABLE
from fedtrade.nodes.process import Process, ignore
from fedtrade.nodes.provision import CERTIFICATE, CERTIFICATE_KEY
from fedtrade.nodes.registry import REGISTRY, REGISTRY_VARIABLE, Party, Registry
from fedtrade.private_files import check_private

__all__ = ["DATABASE", "STATUS", "STATUS_VARIABLE", "SuperLink", "answers"]

DATABASE: Final = "state.db"
HOME: Final = "flwr"
REGISTERED: Final = "registered.json"
STATUS: Final = "status.json"
STATUS_VARIABLE: Final = "FEDTRADE_STATUS"
"""The environment variable in which a ServerApp finds where to write how the run stands."""

READY_S: Final = 60.0
MOST_RUNS: Final = 20
FINISHED: Final = "finished"
RENEW: Final = "`fedtrade provision renew` makes a new one"
REMEDIES: Final = {
    "not yet valid": "set this machine's clock",
    "not valid for": (
        "add the name under server.hosts to consortium.yaml, and `fedtrade provision renew` makes "
        "a new one"
    ),
}
"""Of a certificate that is refused, by what is said of it."""


class SuperLink:
    """Flower's server with TLS, node authentication and a database.

    Parameters
    ----------
    folder : Path
        Of the server, as provisioned.
    host, port : str, int
        Where it listens.
    on_line : callable
        Called with each line of its output.
    say : callable
        Called with each of Flower's commands, as one would type it.
    log : {"text", "json"}
        How apps on this machine write their events.

    Raises
    ------
    ConfigurationError
        If the folder is not what `fedtrade provision` makes.
    NodeError
        If it does not start.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        on_line: Callable[[str], None] = ignore,
        say: Callable[[str], None] = ignore,
        log: Literal["text", "json"] = "text",
    ) -> None:
        self.folder, self.host, self.port, self.log = folder.absolute(), host, port, log
        self._say = say
        for name in (AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, REGISTRY):
            if not (self.folder / name).is_file():
                raise ConfigurationError(
                    f"server.folder={str(folder)!r} has no {name}; `fedtrade provision "
                    "consortium.yaml` makes it."
                )
        check_private(self.folder / CERTIFICATE_KEY)
        write_connection(self.home, self.address, self.authority)
        self._has_memory = (self.folder / DATABASE).exists()
        self.command = superlink_command(self.folder, host, port)
        say(command_line(self.command))
        self.process = Process(
            self.command, name="the SuperLink", environment=self.environment, on_line=on_line
        )

    @property
    def home(self) -> Path:
        """Flower's own folder."""
        return self.folder / HOME

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.folder / AUTHORITY

    @property
    def status(self) -> Path:
        """Where the run says how it stands."""
        return self.folder / STATUS

    @property
    def address(self) -> str:
        """Where it is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"{host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """That of Flower's commands on the server."""
        return environment(
            self.home,
            **{
                REGISTRY_VARIABLE: str(self.folder / REGISTRY),
                STATUS_VARIABLE: str(self.status),
                LOG_VARIABLE: self.log,
            },
        )

    def wait_until_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it answers.

        Raises
        ------
        NodeError
            If it ends, or takes too long.
        """
        context = ssl.create_default_context(cafile=str(self.authority))
        self.process.wait_until(lambda: answers(self.address, context), timeout_s)

    def answers(self) -> bool:
        """Whether it answers, with a certificate that nodes take."""
        if self.process.status is not None:
            return False
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            return answers(self.address, context)
        except (NodeError, OSError):
            return False

    def end_earlier_runs(self) -> None:
        """End the runs that an earlier SuperLink has left.

        Their ServerApps died with it. Flower finds that out after a minute, in which nodes wait for
        the rest of messages that will never come.
        """
        if not self._has_memory:
            return
        runs = self._flwr("list", CONNECTION, "--limit", str(MOST_RUNS)).get("runs") or []
        for run in runs:
            if not str(run["status"]).startswith(FINISHED):
                with suppress(NodeError):  # it may have come to its end meanwhile
                    self._flwr("stop", str(run["run-id"]), CONNECTION)

    def register(self) -> list[str]:
        """Make the SuperLink know the parties of the register, and forget those revoked.

        Returns
        -------
        list of str
            What was done, a line each.
        """
        registry = Registry.read(self.folder / REGISTRY)
        known = self._noted() if self._has_memory else {}
        if self._has_memory and any(party.name not in known for party in registry.active):
            known = self._known()
        new = [party for party in registry.active if party.name not in known]
        gone = [party for party in registry.parties if party.revoked and party.name in known]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # each starts a Python of its own
            for party, node_id in zip(new, pool.map(self._register, new), strict=True):
                known[party.name] = node_id
        self._note(known)
        for party in gone:
            self._unregister(party, known.pop(party.name))
            self._note(known)
        self._has_memory = True
        return [f"{party.name} is registered" for party in new] + [
            f"{party.name} is taken out" for party in gone
        ]

    def _register(self, party: Party) -> str:
        """The node id that a party gets."""
        key = self.home / "keys" / f"{party.name}.pub"
        write_atomically(key, f"{party.node_key}\n")
        made = ("supernode", "register", str(key), CONNECTION, "--name", party.name)
        return str(self._flwr(*made).get("node-id", ""))

    def _unregister(self, party: Party, node_id: str) -> None:
        try:
            self._flwr("supernode", "unregister", node_id, CONNECTION)
        except NodeError:
            if party.name in self._known():  # not as after a crash between this and the note of it
                raise

    def _note(self, known: Mapping[str, str]) -> None:
        write_atomically(self.home / REGISTERED, json.dumps(known, indent=2) + "\n")

    def _noted(self) -> dict[str, str]:
        """Node ids by party, as they were the last time; asking the SuperLink takes a second."""
        try:
            found = json.loads((self.home / REGISTERED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(node_id) for name, node_id in found.items()}

    def _known(self) -> dict[str, str]:
        """Node ids by party, as the SuperLink has them."""
        command = [sys.executable, "-m", "strategies.known_nodes", CONNECTION]
        return json_of(command, "listing the nodes", self.environment)

    def stop(self) -> None:
        """Stop it and what it started."""
        self.process.stop()

    def run_status(self, run_id: str) -> str:
        """See `fedtrade.nodes.flower_commands.run_status`."""
        return run_status(self.environment, CONNECTION, run_id)

    def _flwr(self, *arguments: str) -> dict[str, Any]:
        self._say(command_line(["flwr", *arguments], {"FLWR_HOME": str(self.home)}))
        return flwr(self.environment, *arguments, "--format", "json")


def superlink_command(folder: Path, host: str, port: int) -> list[str]:
    """Flower's command that starts the SuperLink of a server's folder."""
    return [
        tool("flower-superlink"),
        "--ssl-ca-certfile",
        str(folder / AUTHORITY),
        "--ssl-certfile",
        str(folder / CERTIFICATE),
        "--ssl-keyfile",
        str(folder / CERTIFICATE_KEY),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        "--database",
        str(folder / DATABASE),
        "--host",
        host,
        "--port",
        str(port),
    ]


def answers(address: str, context: ssl.SSLContext) -> bool:
    """Whether a server answers at HOST:PORT.

    Raises
    ------
    NodeError
        If its certificate is refused.
    """
    try:
        with urllib.request.urlopen(f"https://{address}/health", timeout=2.0, context=context):
            return True
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            words = reason.verify_message.rstrip(".")
            remedy = next((text for sign, text in REMEDIES.items() if sign in words), RENEW)
            raise NodeError(f"the server's certificate is refused: {words}; {remedy}.") from None
        return False
