"""`consortium.yaml`: who belongs to a consortium, and where its server is."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, field_validator, model_validator

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import AUTHORITY_DAYS, read_node_public
from fedtrade.nodes.settings import ClientSettings
from fedtrade.settings_record import SettingsRecord

__all__ = ["Consortium", "Member", "ServerPlace"]

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^:\s]+):\d{1,5}")
IDENTITY: Final = re.compile(r"[0-9a-f]{64}")
PUBLIC: Final = "ecdsa-sha2-"
"""How the line of a node's public key begins."""

GIVEN: Final = ("name", "number", "role", "superlink")
"""Keys of `conf/client.yaml` that follow from the consortium."""

SOME_KIT: Final = {
    "name": "a",
    "number": 0,
    "superlink": "localhost:1",
    "root_certificates": "a",
    "key": "a",
    "state": "a",
}
"""What a kit has of its own, so that the rest can be checked."""

MOST_PORT: Final = 65535


class Member(SettingsRecord):
    """One party.

    Attributes
    ----------
    name : str
        Letters, digits, `_`, `.` and `-`; also the name of its kit's folder.
    settings : mapping
        Keys of `conf/client.yaml` that its kit sets, such as its limits.
    node_key : str or None
        Its node's public key as a line of OpenSSH, if it makes its own; in a file also the name of
        a file with it.
    identity : str or None
        Its public identity key, 64 hexadecimal digits, if it makes its own.
    """

    name: Annotated[str, Field(pattern=NAME)]
    settings: dict[str, Any] = Field(default_factory=dict)
    node_key: str | None = None
    identity: str | None = None

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Before kits are handed out, rather than when a participant starts its node."""
        for key in value:
            if key in GIVEN:
                raise ValueError(f"{key!r} follows from the rest of the file; leave it out")
            if key not in ClientSettings.model_fields:
                known = ", ".join(k for k in ClientSettings.model_fields if k not in GIVEN)
                raise ValueError(f"there is no key {key!r}; there are {known}")
        allow = value.get("allow", {})
        if not isinstance(allow, Mapping):
            raise ValueError(f"allow={allow!r} must have keys such as modes")
        rest = {key: chosen for key, chosen in value.items() if key != "data"}  # not yet whole
        try:
            ClientSettings.from_mapping(SOME_KIT | rest)
        except ConfigurationError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return value

    # Neither value is told when it is wrong: it may be a private key by mistake.
    @field_validator("node_key")
    @classmethod
    def _check_node_key(cls, value: str | None) -> str | None:
        return None if value is None else read_node_public(value)

    @field_validator("identity")
    @classmethod
    def _check_identity(cls, value: str | None) -> str | None:
        if value is not None and not IDENTITY.fullmatch(value):
            raise ValueError(
                "must be a public identity key of 64 hexadecimal digits, in quotes if they are "
                "all decimal; `fedtrade provision keys` prints it"
            )
        return value

    @model_validator(mode="after")
    def _check_keys(self) -> "Member":
        if (self.node_key is None) != (self.identity is None):
            raise ValueError(
                f"{self.name} gives one of node_key and identity; a party that makes its own keys "
                "gives both (`fedtrade provision keys` prints them)"
            )
        return self

    @property
    def brings_keys(self) -> bool:
        """Whether it makes its own keys, so that nobody else ever has them."""
        return self.node_key is not None


class ServerPlace(SettingsRecord):
    """Where the server is.

    Attributes
    ----------
    address : str
        HOST:PORT that nodes connect to.
    hosts : tuple of str
        Further names and addresses that its certificate is for.
    """

    address: str
    hosts: tuple[str, ...] = ()

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if not ADDRESS.fullmatch(value):
            raise ValueError(f"{value!r} is not HOST:PORT, such as fed.example.com:8443")
        return value

    @model_validator(mode="after")
    def _check_places(self) -> "ServerPlace":
        if not 1 <= self.port <= MOST_PORT:
            raise ValueError(f"address={self.address!r} has no port from 1 to {MOST_PORT}")
        for host in (self.host, *self.hosts):
            if not _is_host(host):
                raise ValueError(
                    f"{host!r} is neither an address nor a name of letters, digits, `-` and `.` "
                    "(no port, and other letters as `xn--...`)"
                )
        return self

    @property
    def host(self) -> str:
        """That of the address."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """That of the address."""
        return int(self.address.rpartition(":")[2])


class Consortium(SettingsRecord):
    """A consortium.

    Attributes
    ----------
    name : str
    server : ServerPlace
    participants, key_holders : tuple of Member
        Numbered in this order, the key holders behind the participants.
    valid_days : int
        Of the server's certificate.
    """

    name: Annotated[str, Field(pattern=NAME)]
    server: ServerPlace
    participants: tuple[Member, ...]
    key_holders: tuple[Member, ...] = ()
    valid_days: Annotated[int, Field(ge=1, le=AUTHORITY_DAYS)] = 397

    @field_validator("participants")
    @classmethod
    def _check_some(cls, value: tuple[Member, ...]) -> tuple[Member, ...]:
        if not value:
            raise ValueError("there is none; name at least one")
        return value

    @model_validator(mode="after")
    def _check_names(self) -> "Consortium":
        names = [member.name.lower() for member in self.members]
        twice = [m.name for m in self.members if names.count(m.name.lower()) > 1]
        if twice:
            raise ValueError(
                f"the party {twice[0]!r} is there twice; each has a name of its own, in which "
                "capital letters do not count, and one role"
            )
        return self

    @property
    def members(self) -> tuple[Member, ...]:
        """All parties."""
        return self.participants + self.key_holders

    @classmethod
    def read(cls, path: Path) -> "Consortium":
        """Read the file.

        Raises
        ------
        ConfigurationError
            If it cannot be read, naming each wrong key.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{path} cannot be read: {reason}.") from None
        if not isinstance(values, dict):
            raise ConfigurationError(f"{path} must have keys such as name, server, participants.")
        for member in _members_in(values):
            _read_key_file(member, path.parent)
        try:
            return cls.from_mapping(values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None


def _members_in(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for role in ("participants", "key_holders"):
        members = values.get(role)
        yield from (m for m in members if isinstance(m, dict)) if isinstance(members, list) else ()


def _read_key_file(member: dict[str, Any], folder: Path) -> None:
    """Put the public key in the place of the file's name."""
    name = member.get("node_key")
    if not isinstance(name, str) or name.startswith(PUBLIC) or "\n" in name.strip():
        return
    try:
        member["node_key"] = (folder / name).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return  # it is refused as what it is: no key


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return HOST.fullmatch(text) is not None
    return True
