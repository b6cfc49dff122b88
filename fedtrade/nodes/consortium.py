"""`consortium.yaml`: who belongs to a consortium, and where its server is."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, model_validator

from fedtrade.errors import ConfigurationError
from fedtrade.settings_record import SettingsRecord

__all__ = ["Consortium", "Member", "ServerPlace"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"


class Member(SettingsRecord):
    """One party.

    Attributes
    ----------
    name : str
        Letters, digits, `_`, `.` and `-`; also the name of its kit's folder.
    settings : mapping
        Keys of `conf/client.yaml` that its kit sets, such as its limits.
    node_key : str or None
        Its node's public key as a line of OpenSSH, if it makes its own.
    identity : str or None
        Its public identity key, if it makes its own.
    """

    name: Annotated[str, Field(pattern=NAME)]
    settings: dict[str, Any] = Field(default_factory=dict)
    node_key: str | None = None
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

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

    address: Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:]+\]|[^:\s]+):\d{1,5}$")]
    hosts: tuple[str, ...] = ()

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
    participants: Annotated[tuple[Member, ...], Field(min_length=1)]
    key_holders: tuple[Member, ...] = ()
    valid_days: Annotated[int, Field(ge=1)] = 397

    @model_validator(mode="after")
    def _check_names(self) -> "Consortium":
        names = [member.name.lower() for member in self.members]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is there twice; each party has a name and one role")
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
        try:
            return cls.from_mapping(values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
