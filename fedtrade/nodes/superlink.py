"""A SuperLink: start it, see that it is ready, and tell it which parties there are."""

import json
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from fedtrade.errors import ConfigurationError, NodeError
from fedtrade.nodes.flower import (
    CONNECTION,
    environment,
    tool,
    write_connection,
)
from fedtrade.nodes.flower_commands import flwr, run_status
from fedtrade.nodes.kits import AUTHORITY
from fedtrade.nodes.logs import LOG_VARIABLE
from fedtrade.nodes.process import Process, ignore
from fedtrade.nodes.provision import CERTIFICATE, CERTIFICATE_KEY
from fedtrade.nodes.registry import REGISTRY, REGISTRY_VARIABLE, Registry
from fedtrade.report.atomic import write_atomically

__all__ = ["DATABASE", "STATUS", "STATUS_VARIABLE", "SuperLink"]

DATABASE: Final = "state.db"
HOME: Final = "flwr"
REGISTERED: Final = "registered.json"
STATUS: Final = "status.json"
STATUS_VARIABLE: Final = "FEDTRADE_STATUS"
"""The environment variable in which a ServerApp finds where to write how the run stands."""

READY_S: Final = 60.0


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
        log: Literal["text", "json"] = "text",
    ) -> None:
        self.folder, self.host, self.port, self.log = folder.absolute(), host, port, log
        for name in (AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, REGISTRY):
            if not (self.folder / name).is_file():
                raise ConfigurationError(
                    f"server.folder={str(folder)!r} has no {name}; `fedtrade provision "
                    "consortium.yaml` makes it."
                )
        write_connection(self.home, self.address, self.authority)
        self.command = superlink_command(self.folder, host, port)
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
        self.process.wait_until(lambda: _answers(self.address, context), timeout_s)

    def answers(self) -> bool:
        """Whether it answers, with a certificate that nodes take."""
        if self.process.status is not None:
            return False
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            return _answers(self.address, context)
        except (NodeError, OSError):
            return False

    def register(self) -> list[str]:
        """Make the SuperLink know the parties of the register, and forget those revoked.

        Returns
        -------
        list of str
            What was done, a line each.
        """
        registry = Registry.read(self.folder / REGISTRY)
        known, done = self._registered(), []
        for party in registry.active:
            if party.name not in known:
                key = self.home / "keys" / f"{party.name}.pub"
                write_atomically(key, f"{party.node_key}\n")
                known[party.name] = self._register(key, party.name)
                self._note(known)
                done.append(f"{party.name} is registered")
        for party in registry.parties:
            if party.revoked and party.name in known:
                self._flwr("supernode", "unregister", known.pop(party.name), CONNECTION)
                self._note(known)
                done.append(f"{party.name} is taken out")
        return done

    def _register(self, key: Path, name: str) -> str:
        """The node id that a key gets."""
        made = ("supernode", "register", str(key), CONNECTION, "--name", name, "--format", "json")
        return str(self._flwr(*made).get("node-id", ""))

    def _registered(self) -> dict[str, str]:
        """Node ids by party: Flower's own list has no names."""
        path = self.home / REGISTERED
        if not (self.folder / DATABASE).exists() or not path.exists():
            return {}
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}

    def _note(self, registered: dict[str, str]) -> None:
        write_atomically(self.home / REGISTERED, json.dumps(registered, indent=2) + "\n")

    def stop(self) -> None:
        """Stop it and what it started."""
        self.process.stop()

    def run_status(self, run_id: str) -> str:
        """See `fedtrade.nodes.flower_commands.run_status`."""
        return run_status(self.environment, CONNECTION, run_id)

    def _flwr(self, *arguments: str) -> dict[str, Any]:
        return flwr(self.environment, *arguments)


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


def _answers(address: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(f"https://{address}/health", timeout=2.0, context=context):
            return True
    except ssl.SSLCertVerificationError as error:
        raise NodeError(f"the server's certificate is refused: {error.verify_message}.") from None
    except OSError as error:
        reason = getattr(error, "reason", None)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise NodeError(
                f"the server's certificate is refused: {reason.verify_message}; "
                "`fedtrade provision renew` makes a new one."
            ) from None
        return False
