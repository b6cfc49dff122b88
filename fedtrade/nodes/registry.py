"""The register of a consortium: which party holds which key, and in which role."""

import json
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from fedtrade.atomic import write_atomically
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.settings import Role
from fedtrade.settings_record import SettingsRecord

__all__ = ["REGISTRY", "REGISTRY_VARIABLE", "Party", "Registry", "stamp_of"]

REGISTRY: Final = "registry.json"
"""Its name in the server's folder."""

REGISTRY_VARIABLE: Final = "FEDTRADE_REGISTRY"
"""The environment variable in which a ServerApp on the server's machine finds its path."""


class Party(SettingsRecord):
    """One party.

    Attributes
    ----------
    name : str
    number : int
        From 0; key holders come behind the participants.
    role : {"participant", "key_holder"}
    node_key : str
        The node's public key as a line of OpenSSH.
    identity : str
        The public identity key of private sums, 64 hexadecimal digits.
    revoked : bool
    """

    name: str
    number: Annotated[int, Field(ge=0)]
    role: Role
    node_key: str
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    revoked: bool = False


class Registry(SettingsRecord):
    """All parties, in the order of their numbers."""

    parties: tuple[Party, ...]

    @model_validator(mode="after")
    def _check_unique(self) -> "Registry":
        for what in ("name", "number", "node_key", "identity"):
            values = [getattr(party, what) for party in self.parties]
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"two parties have the {what} {twice[0]!r}; each has its own")
        return self

    @property
    def active(self) -> tuple[Party, ...]:
        """Parties that have not been revoked."""
        return tuple(party for party in self.parties if not party.revoked)

    @classmethod
    def read(cls, path: Path) -> "Registry":
        """Read a register.

        Raises
        ------
        ConfigurationError
            If it cannot be read, or is none.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"{path} cannot be read as a register of parties ({reason}); `fedtrade provision` "
                "makes it."
            ) from None
        return cls.from_mapping(values)

    def write(self, path: Path) -> None:
        """Write the register in one step."""
        write_atomically(path, json.dumps(self.to_mapping(), indent=2) + "\n")


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever a file is written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
