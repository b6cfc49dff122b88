"""A whole consortium on this machine's loopback: real processes, throw-away keys."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self

from fedtrade.errors import NodeError
from fedtrade.nodes.consortium import Consortium, Member, ServerPlace
from fedtrade.nodes.flower import CONNECTION
from fedtrade.nodes.kits import AUTHORITY, IDENTITIES, IDENTITIES_ENCRYPTED, IDENTITY_KEY, NODE_KEY
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import ignore
from fedtrade.nodes.provision import KITS_FOLDER, SERVER_FOLDER, provision
from fedtrade.nodes.settings import ClientSettings, Limits
from fedtrade.nodes.submit import submit
from fedtrade.nodes.superlink import SuperLink
from fedtrade.nodes.supernode import SuperNode
from fedtrade.settings import BY_PARTICIPANT, Settings

__all__ = ["OPEN", "LocalConsortium"]

HOST = "127.0.0.1"
JOIN_S = 60.0
STARTS = 3
"""Of a node, at most."""

OPEN = Limits(
    modes=("plain", "masked", "encrypted"),
    min_contributors=2,
    scores=BY_PARTICIPANT,
    show_path=True,
    most_seconds=None,
    targets=("",),
)
"""Limits that let everything pass: all parties are the one who runs this machine."""


@dataclass
class LocalConsortium:
    """A SuperLink and SuperNodes on loopback, with TLS and authentication as anywhere.

    Use it as a context; all of it is gone behind it.

    Parameters
    ----------
    n_participants, n_key_holders : int
    executor : {"warm", "stock"}
    allow : Limits
        Of each node.
    on_line : callable
        Called with each line of output, and with who said it before it.

    Attributes
    ----------
    said : list of str
        The log of the latest run.
    """

    n_participants: int
    n_key_holders: int = 0
    executor: Literal["warm", "stock"] = "warm"
    allow: Limits = OPEN
    on_line: Callable[[str, str], None] = field(default=lambda who, line: ignore(line))

    def __enter__(self) -> Self:
        self._place = TemporaryDirectory(prefix="fedtrade-nodes-", ignore_cleanup_errors=True)
        self.folder = Path(self._place.name)
        self.nodes: list[SuperNode] = []
        self.said: list[str] = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self.port = free_port(HOST, 0, "port")
        provision(self.consortium, self.folder)
        self.start_superlink()
        self.superlink.register()
        self.nodes = [
            SuperNode(self.settings_of(number), self._teller(member.name))
            for number, member in enumerate(self.consortium.members)
        ]
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            _wait_until_joined(node)

    @property
    def consortium(self) -> Consortium:
        """Its parties."""
        return Consortium(
            name="loopback",
            server=ServerPlace(address=f"{HOST}:{self.port}"),
            participants=tuple(Member(name=f"member-{k}") for k in range(self.n_participants)),
            key_holders=tuple(Member(name=f"holder-{k}") for k in range(self.n_key_holders)),
        )

    def settings_of(self, number: int, **changes: Any) -> ClientSettings:
        """A party's own settings."""
        member = self.consortium.members[number]
        kit = self.folder / KITS_FOLDER / member.name
        values: dict[str, Any] = {
            "name": member.name,
            "role": "participant" if number < self.n_participants else "key_holder",
            "number": number,
            "superlink": f"{HOST}:{self.port}",
            "root_certificates": str(kit / AUTHORITY),
            "key": str(kit / NODE_KEY),
            "identity_key": str(kit / IDENTITY_KEY),
            "identities": str(kit / IDENTITIES),
            "identities_encrypted": str(kit / IDENTITIES_ENCRYPTED) if self.n_key_holders else None,
            "state": str(kit / "state"),
            "allow": self.allow,
            "executor": self.executor,
            "code": "bundle" if self.executor == "stock" else "installed",
        }
        return ClientSettings.from_mapping(values | changes)

    def start_superlink(self) -> None:
        """Start the server, again if it has died."""
        server = self.folder / SERVER_FOLDER
        self.superlink = SuperLink(server, HOST, self.port, self._teller("superlink"))
        self.superlink.wait_until_ready()

    def run(self, settings: Settings) -> str:
        """Submit a run and follow it; its id."""
        tell = self._teller("run")
        self.said = []

        def heard(line: str) -> None:
            self.said.append(line)
            tell(line)

        return submit(settings, self.superlink.environment, CONNECTION, heard)

    def stop(self) -> None:
        """Stop all processes and remove all files."""
        for node in self.nodes:
            node.kill()
        if hasattr(self, "superlink"):
            self.superlink.stop()
        self._place.cleanup()

    def _teller(self, who: str) -> Callable[[str], None]:
        return lambda line: self.on_line(who, line)


def _wait_until_joined(node: SuperNode) -> None:
    """Wait for a node, and start it again where that may help: another may have taken its port.

    Raises
    ------
    NodeError
        If it does not join.
    """
    for _ in range(STARTS - 1):
        with suppress(NodeError):
            return node.wait_until_joined(JOIN_S)
        if not node.may_join_if_started_again:
            break
        node.stop()
        node.start()
    return node.wait_until_joined(JOIN_S)
