"""Whose nodes take part: by the keys with which they are registered, not by what they say.

Without a register, as in a simulation, every node is asked, and is who it says it is.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from flwr.app import ConfigRecord, Message, MetricRecord
from flwr.proto.node_pb2 import NodeInfo

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.registry import REGISTRY_VARIABLE, Party, Registry
from fedtrade.secure.wire import GREETING, HOLDER, IDENTITY
from fedtrade.wire import CONFIG, KEY_HOLDER, METRICS, ROLE
from strategies.replies import Refusal

__all__ = ["Parties", "check_answer"]

HOLDER_ROLE = "key_holder"
ROLE_NAMES = {"participant": "a participant", HOLDER_ROLE: "a key holder"}


@dataclass(frozen=True, slots=True)
class Parties:
    """Those that a run may have, by the DER of their nodes' public keys.

    Attributes
    ----------
    by_key : mapping of bytes to Party
        Revoked ones too.
    n_key_holders : int
        That the trust mode needs; where it needs none, none is asked.
    """

    by_key: Mapping[bytes, Party]
    n_key_holders: int

    @classmethod
    def of(cls, registry: Registry, mode: str, n_key_holders: int) -> "Parties":
        """The parties of a register, for a trust mode.

        Raises
        ------
        ConfigurationError
            If a key cannot be read or is of two parties, a name is, or a role is missing.
        """
        by_key: dict[bytes, Party] = {}
        names: dict[str, Party] = {}
        for party in registry.parties:
            key = _der(party.node_key.encode(), f"the node key of {party.name} in the register")
            other = by_key.setdefault(key, party)
            if other is not party:
                raise ConfigurationError(
                    f"{other.name} and {party.name} have one node key in the register, so that one "
                    "party would be two: give each its own."
                )
            other = names.setdefault(party.name.casefold(), party)
            if other is not party:
                raise ConfigurationError(
                    f"{other.name} and {party.name} are one name in the register: a party has one "
                    "role."
                )
        holders = [party for party in registry.active if party.role == HOLDER_ROLE]
        if len(holders) < n_key_holders:
            raise ConfigurationError(
                f"aggregation={mode} needs a key holder who is none of the participants, and the "
                "register has none: add one under `key_holders` and run `fedtrade provision` "
                "again, or take aggregation=masked."
            )
        return cls(by_key, n_key_holders)

    @classmethod
    def of_environment(cls, mode: str, n_key_holders: int) -> "Parties | None":
        """Those of the register that the environment names, if it names one.

        Raises
        ------
        ConfigurationError
            Also if it cannot be read.
        """
        path = os.environ.get(REGISTRY_VARIABLE)
        return cls.of(Registry.read(Path(path)), mode, n_key_holders) if path else None

    @property
    def wanted(self) -> tuple[Party, ...]:
        """All that the run waits for."""
        return tuple(party for party in self.by_key.values() if self._is_wanted(party))

    def _is_wanted(self, party: Party) -> bool:
        return not party.revoked and (party.role != HOLDER_ROLE or self.n_key_holders > 0)

    def sort(self, nodes: Iterable[NodeInfo]) -> tuple[dict[int, Party], list[Refusal]]:
        """Whose nodes these are, and those that are nobody's; others' are left out silently."""
        found: dict[int, Party] = {}
        refusals: list[Refusal] = []
        for info in sorted(nodes, key=lambda node: node.node_id):
            party = self.by_key.get(_der_or_none(info.public_key))
            if party is None:
                reason = "its key is not in the register"
            elif party.revoked:
                reason = f"{party.name} has been revoked"
            elif info.name and info.name != party.name:
                reason = (
                    f"its key is registered as that of {info.name!r}, and in the register it is "
                    f"that of {party.name!r}"
                )
            elif not self._is_wanted(party):
                continue
            elif party in found.values():
                reason = f"another node of {party.name} is there already"
            else:
                found[info.node_id] = party
                continue
            refusals.append(Refusal(info.node_id, reason))
        return found, refusals


def check_answer(party: Party, answer: Message) -> None:
    """Compare what a node says of itself with the register.

    Raises
    ------
    ValueError
        If its role, number or public identity key is another one.
    """
    records = answer.content
    config = records.config_records.get(CONFIG, ConfigRecord())
    greeting = records.config_records.get(GREETING, ConfigRecord())
    role = HOLDER_ROLE if config.get(ROLE) == KEY_HOLDER else "participant"
    if role != party.role:
        raise ValueError(
            f"it says that it is {ROLE_NAMES[role]}, and {party.name} is registered as "
            f"{ROLE_NAMES[party.role]}"
        )
    if role == HOLDER_ROLE:
        number = greeting.get(HOLDER)
    else:
        number = records.metric_records.get(METRICS, MetricRecord()).get("participant")
    if number is not None and number != party.number:
        raise ValueError(
            f"it says that its number is {number!r}, and {party.name} has the number {party.number}"
        )
    identity = greeting.get(IDENTITY)
    if isinstance(identity, bytes) and identity.hex() != party.identity:
        raise ValueError(
            f"its public identity key is not that of {party.name} in the register: give its node "
            "the identity key of its kit"
        )


def _der(key: bytes, what: str) -> bytes:
    """A public key, as OpenSSH or PEM, as one sequence of bytes for each key.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    load = serialization.load_pem_public_key
    if not key.startswith(b"-----"):
        load = serialization.load_ssh_public_key
    try:
        found = load(key)
    except Exception as error:  # whatever a parser makes of bytes that are no key
        raise ConfigurationError(f"{what} is no public key: {error}.") from None
    return found.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _der_or_none(key: bytes) -> bytes:
    """As `_der`; nothing where a node has no key that can be read, which no party has."""
    try:
        return _der(key, "it")
    except ConfigurationError:
        return b""
