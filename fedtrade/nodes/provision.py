"""Make a consortium's certificates, keys and start kits; take a party out again.

::

    authority/  ca.crt ca.key                     to be kept offline
    server/     ca.crt server.crt server.key registry.json identities.json
    kits/NAME/  ca.crt node.key node.pub identity.key identities.json client.yaml ...

What is there stays: running it again after a change of `consortium.yaml` adds what is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import (
    Issued,
    identity_public,
    make_authority,
    make_certificate,
    make_identity_key,
    make_node_key,
    node_public,
)
from fedtrade.nodes.consortium import Consortium, Member
from fedtrade.nodes.kits import (
    AUTHORITY,
    IDENTITIES,
    IDENTITIES_ENCRYPTED,
    IDENTITY_KEY,
    NODE_KEY,
    NODE_PUBLIC,
    write_identities,
    write_kit,
    write_manifest,
)
from fedtrade.nodes.private_files import make_private_folder, write_private
from fedtrade.nodes.registry import REGISTRY, Party, Registry
from fedtrade.nodes.settings import Role
from fedtrade.report.atomic import write_atomically

__all__ = [
    "AUTHORITY_FOLDER",
    "CERTIFICATE",
    "CERTIFICATE_KEY",
    "KITS_FOLDER",
    "SERVER_FOLDER",
    "Provisioned",
    "default_folder",
    "make_keys",
    "provision",
    "renew",
    "revoke",
]

AUTHORITY_FOLDER: Final = "authority"
SERVER_FOLDER: Final = "server"
KITS_FOLDER: Final = "kits"
AUTHORITY_KEY: Final = "ca.key"
CERTIFICATE: Final = "server.crt"
CERTIFICATE_KEY: Final = "server.key"
ALWAYS: Final = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What provisioning did.

    Attributes
    ----------
    folder : Path
    rows : tuple of (str, str, str)
        Party, role, and what became of it.
    """

    folder: Path
    rows: tuple[tuple[str, str, str], ...]


def provision(consortium: Consortium, folder: Path) -> Provisioned:
    """Make whatever of a consortium is not there yet.

    Raises
    ------
    ConfigurationError
        If what is there does not fit: a party in another role, or with another key of its own.
    OutputError
        If a file cannot be written.
    """
    server, kits = folder / SERVER_FOLDER, folder / KITS_FOLDER
    for place in (folder, folder / AUTHORITY_FOLDER, server, kits):
        make_private_folder(place)
    before = _registry_at(server)
    numbers = _numbers(consortium, before)
    authority = _authority(consortium, folder)
    if not (server / CERTIFICATE).exists():
        _issue(consortium, authority, server)
    write_atomically(server / AUTHORITY, authority.certificate)
    parties: dict[str, Party] = {party.name: party for party in before}
    rows, keys = [], {}
    for member in consortium.members:
        role: Role = "key_holder" if member in consortium.key_holders else "participant"
        private = _private_keys(member, kits / member.name)
        party = Party(
            name=member.name,
            number=numbers[member.name],
            role=role,
            node_key=_public_line(member, private),
            identity=member.identity or identity_public(private[IDENTITY_KEY]),
        )
        known = parties.get(member.name)
        rows.append((member.name, role, _outcome(party, known)))
        parties[member.name] = known or party
        keys[member.name] = private
    registry = Registry(parties=tuple(sorted(parties.values(), key=lambda p: p.number)))
    registry.write(server / REGISTRY)
    write_identities(server, registry)
    for member in consortium.members:
        party = parties[member.name]
        if not party.revoked:
            write_kit(
                kits / member.name,
                settings=_kit_settings(consortium, member, party),
                authority=authority.certificate,
                registry=registry,
                node_public=party.node_key,
                private_keys=keys[member.name],
            )
    return Provisioned(folder, tuple(rows))


def renew(consortium: Consortium, folder: Path) -> None:
    """Make a new certificate of the server, signed by the same authority; nodes need nothing new.

    Raises
    ------
    ConfigurationError
        If there is no authority.
    """
    path = folder / AUTHORITY_FOLDER
    if not (path / AUTHORITY_KEY).exists():
        raise ConfigurationError(
            f"{path} has no {AUTHORITY_KEY}, which signs certificates; bring it back for a moment."
        )
    _issue(consortium, _authority(consortium, folder), folder / SERVER_FOLDER)


def revoke(folder: Path, name: str) -> Party:
    """Take a party out: the server lets it in no longer, and the others no longer know its key.

    Raises
    ------
    ConfigurationError
        If there is no such party, or it is revoked already.
    """
    server = folder / SERVER_FOLDER
    registry = Registry.read(server / REGISTRY)
    found = {party.name: party for party in registry.parties}
    if name not in found:
        raise ConfigurationError(
            f"there is no party {name!r} in {server / REGISTRY}; there are {', '.join(found)}."
        )
    if found[name].revoked:
        raise ConfigurationError(f"{name} is revoked already.")
    found[name] = found[name].model_copy(update={"revoked": True})
    registry = Registry(parties=tuple(found.values()))
    registry.write(server / REGISTRY)
    write_identities(server, registry)
    for party in registry.active:
        kit = folder / KITS_FOLDER / party.name
        if kit.exists():
            write_identities(kit, registry)
            write_manifest(kit)
    return found[name]


def make_keys(folder: Path) -> tuple[str, str]:
    """Make a party's keys on its own machine, and give the public ones: node's and identity.

    Raises
    ------
    ConfigurationError
        If there are keys already.
    """
    make_private_folder(folder)
    for name in (NODE_KEY, IDENTITY_KEY):
        if (folder / name).exists():
            raise ConfigurationError(f"{folder / name} is there already; keys are never replaced.")
    node, identity = make_node_key(), make_identity_key()
    write_private(folder / NODE_KEY, node)
    write_private(folder / IDENTITY_KEY, identity)
    write_atomically(folder / NODE_PUBLIC, f"{node_public(node)}\n")
    return node_public(node), identity_public(identity)


def _registry_at(server: Path) -> tuple[Party, ...]:
    path = server / REGISTRY
    return Registry.read(path).parties if path.exists() else ()


def _numbers(consortium: Consortium, before: tuple[Party, ...]) -> Mapping[str, int]:
    """Each party's number; one that has a number keeps it."""
    known = {party.name: party.number for party in before}
    names = {member.name for member in consortium.members}
    if not before:
        return {member.name: k for k, member in enumerate(consortium.members)}
    gone = [party.name for party in before if party.name not in names and not party.revoked]
    if gone:
        raise ConfigurationError(
            f"{gone[0]} is registered and no longer in consortium.yaml; take it out with "
            f"`fedtrade provision revoke {gone[0]}`."
        )
    new = [member for member in consortium.members if member.name not in known]
    holders = [party for party in before if party.role == "key_holder"]
    if holders and any(member in consortium.participants for member in new):
        raise ConfigurationError(
            f"{new[0].name} cannot join as a participant behind the key holder {holders[0].name}, "
            "whose number is the last; provision the consortium anew in another folder."
        )
    first = max(known.values()) + 1
    return {**known, **{member.name: first + k for k, member in enumerate(new)}}


def _authority(consortium: Consortium, folder: Path) -> Issued:
    place = folder / AUTHORITY_FOLDER
    certificate, key = place / AUTHORITY, place / AUTHORITY_KEY
    if certificate.exists():
        # The key may be kept elsewhere; it is needed for new certificates alone.
        return Issued(certificate.read_bytes(), key.read_bytes() if key.exists() else b"")
    issued = make_authority(consortium.name)
    write_private(key, issued.key)
    write_atomically(certificate, issued.certificate)
    return issued


def _issue(consortium: Consortium, authority: Issued, server: Path) -> None:
    hosts = tuple(dict.fromkeys((consortium.server.host, *consortium.server.hosts, *ALWAYS)))
    issued = make_certificate(authority, consortium.name, hosts, consortium.valid_days)
    write_private(server / CERTIFICATE_KEY, issued.key)
    write_atomically(server / CERTIFICATE, issued.certificate)


def _private_keys(member: Member, kit: Path) -> Mapping[str, bytes]:
    """By file; those that are there, or new ones, or none for a party that makes its own."""
    if member.brings_keys:
        return {}
    makers = {NODE_KEY: make_node_key, IDENTITY_KEY: make_identity_key}
    return {
        name: (kit / name).read_bytes() if (kit / name).exists() else make()
        for name, make in makers.items()
    }


def _public_line(member: Member, private: Mapping[str, bytes]) -> str:
    if member.node_key is None:
        return node_public(private[NODE_KEY])
    return " ".join(member.node_key.split()[:2])  # without the comment


def _outcome(party: Party, known: Party | None) -> str:
    if known is None:
        return "new"
    if known.revoked:
        return "revoked"
    for what in ("role", "node_key", "identity"):
        if getattr(party, what) != getattr(known, what):
            raise ConfigurationError(
                f"{party.name} is registered with another {what}; revoke it and give it a new name."
            )
    return "kept"


def _kit_settings(consortium: Consortium, member: Member, party: Party) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": party.name,
        "role": party.role,
        "number": party.number,
        "superlink": consortium.server.address,
        "root_certificates": AUTHORITY,
        "key": NODE_KEY,
        "identity_key": IDENTITY_KEY,
        "identities": IDENTITIES,
        "identities_encrypted": IDENTITIES_ENCRYPTED if consortium.key_holders else None,
        "state": "state",
    }
    if party.role == "key_holder":
        settings["data"] = "from_run"
    return settings | member.settings


def default_folder(path: Path) -> Path:
    """Where a consortium goes by default: a folder named like its file, beside it."""
    return path.absolute().with_suffix("")
