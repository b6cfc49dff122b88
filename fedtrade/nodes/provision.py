"""Make a consortium's certificates, keys and start kits; take a party out again.

::

    authority/  ca.crt ca.key                     to be kept offline
    server/     ca.crt server.crt server.key registry.json identities.json
    kits/NAME/  ca.crt node.key node.pub identity.key identities.json client.yaml ...

What is there stays: running it again after a change of `consortium.yaml` adds what is new. Of
private keys it needs `ca.key` for a certificate alone, and parties' never again: they may be
elsewhere by then.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fedtrade.atomic import write_atomically
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import Issued, make_authority, make_certificate, served_by
from fedtrade.nodes.consortium import Consortium, Member
from fedtrade.nodes.kits import (
    AUTHORITY,
    IDENTITIES,
    IDENTITIES_ENCRYPTED,
    IDENTITY_KEY,
    MANIFEST,
    NODE_KEY,
    make_keys,
    public_keys,
    write_identities,
    write_kit,
    write_manifest,
)
from fedtrade.nodes.registry import REGISTRY, Party, Registry
from fedtrade.nodes.settings import Role
from fedtrade.private_files import make_private_folder, write_private

__all__ = [
    "AUTHORITY_FOLDER",
    "CERTIFICATE",
    "CERTIFICATE_KEY",
    "KITS_FOLDER",
    "SERVER_FOLDER",
    "Provisioned",
    "default_folder",
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
    certificates : tuple of (str, str)
        The authority and the server's certificate, and what became of each.
    rows : tuple of (str, str, str)
        Party, role, and what became of it.
    """

    folder: Path
    certificates: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, str, str], ...]


def provision(consortium: Consortium, folder: Path) -> Provisioned:
    """Make whatever of a consortium is not there yet.

    Raises
    ------
    ConfigurationError
        If what is there does not fit: a party in another role, or with another key. Nothing has
        changed then.
    OutputError
        If a file cannot be written.
    """
    server, kits = folder / SERVER_FOLDER, folder / KITS_FOLDER
    before = _registry_at(folder)
    numbers = _numbers(consortium, before)
    known = {party.name: party for party in before}
    for member in consortium.members:
        if member.name in known:
            _check_same(known[member.name], _role(consortium, member), member, kits / member.name)
    _check_own_keys(consortium, before)
    for place in (folder, folder / AUTHORITY_FOLDER, server, kits):
        make_private_folder(place)
    certificates = _make_certificates(consortium, folder)
    parties = {
        party.name: party.model_copy(update={"number": numbers[party.name]}) for party in before
    }
    for member in consortium.members:
        if member.name not in known:  # its keys are on the disk before anybody knows of them
            node_key, identity = _keys_of(member, kits / member.name)
            parties[member.name] = Party(
                name=member.name,
                number=numbers[member.name],
                role=_role(consortium, member),
                node_key=node_key,
                identity=identity,
            )
    registry = Registry(parties=tuple(sorted(parties.values(), key=lambda p: p.number)))
    registry.write(server / REGISTRY)
    write_identities(server, registry)
    authority = _server_copy(folder).read_bytes()
    for member in consortium.members:
        party = parties[member.name]
        if not party.revoked:
            write_kit(
                kits / member.name,
                settings=_kit_settings(consortium, member, party, registry),
                authority=authority,
                registry=registry,
                node_public=party.node_key,
                brings_keys=member.brings_keys,
            )
    rows = tuple(
        (m.name, _role(consortium, m), _outcome(parties[m.name], known.get(m.name)))
        for m in consortium.members
    )
    return Provisioned(folder, certificates, rows)


def renew(consortium: Consortium, folder: Path) -> datetime:
    """Make a new certificate of the server, signed by the same authority; nodes need nothing new.

    Returns
    -------
    datetime
        Until when it is valid.

    Raises
    ------
    ConfigurationError
        If there is no authority, or its key is not there.
    """
    server = folder / SERVER_FOLDER
    authority = _authority(folder)
    if authority is None:
        raise ConfigurationError(
            f"{folder} has no consortium; name another with --folder, or make one with `fedtrade "
            "provision`."
        )
    _issue(consortium, authority, folder)
    return served_by((server / CERTIFICATE).read_bytes()).until


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


def _registry_at(folder: Path) -> tuple[Party, ...]:
    """Those that are registered; a register is there before any kit is whole."""
    path = folder / SERVER_FOLDER / REGISTRY
    if path.exists():
        return Registry.read(path).parties
    kit = next((folder / KITS_FOLDER).glob(f"*/{MANIFEST}"), None)
    if kit is not None:
        raise ConfigurationError(
            f"{path} is not there, and {kit.parent} is of a consortium that was made: put "
            f"{REGISTRY} and {AUTHORITY} back from the server, or take another --folder."
        )
    return ()


def _numbers(consortium: Consortium, before: tuple[Party, ...]) -> Mapping[str, int]:
    """Each party's number: one that has a number keeps it, but key holders stay behind the others.

    Numbers of those taken out are not given again.
    """
    names = {member.name for member in consortium.members}
    gone = [party.name for party in before if party.name not in names and not party.revoked]
    if gone:
        raise ConfigurationError(
            f"{gone[0]} is registered and no longer in consortium.yaml; take it out with "
            f"`fedtrade provision revoke {gone[0]}`."
        )
    known = {party.name: party.number for party in before}
    participants = {p.name: p.number for p in before if p.role == "participant"}
    holders = {p.name: p.number for p in before if p.role == "key_holder"}
    joined = [m.name for m in consortium.participants if m.name not in known]
    first = max(participants.values(), default=-1) + 1
    participants |= {name: first + k for k, name in enumerate(joined)}
    last = max(participants.values(), default=-1)
    if any(number <= last for number in holders.values()):
        holders = {
            name: last + 1 + k for k, name in enumerate(sorted(holders, key=holders.__getitem__))
        }
    named = [m.name for m in consortium.key_holders if m.name not in known]
    first = max(last, *holders.values(), -1) + 1
    return {**participants, **holders, **{name: first + k for k, name in enumerate(named)}}


def _role(consortium: Consortium, member: Member) -> Role:
    return "key_holder" if member in consortium.key_holders else "participant"


def _check_same(known: Party, role: Role, member: Member, kit: Path) -> None:
    """Nothing of what is registered of a party may have become something else."""
    ours = not member.brings_keys and all((kit / key).exists() for key in (NODE_KEY, IDENTITY_KEY))
    node_key, identity = public_keys(kit) if ours else (member.node_key, member.identity)
    now = {"role": role, "node_key": node_key, "identity": identity}
    for what, value in now.items():
        if value not in (None, getattr(known, what)):
            raise ConfigurationError(
                f"{known.name} is registered with another {what}; put back what it had, or revoke "
                "it and give it a new name."
            )


def _check_own_keys(consortium: Consortium, before: Iterable[Party]) -> None:
    """No party may bring the keys of another, of one that was taken out either."""
    for what in ("node_key", "identity"):
        owners = {getattr(party, what): party.name for party in before}
        for member in consortium.members:
            key = getattr(member, what)
            if key is None:
                continue
            owner = owners.setdefault(key, member.name)
            if owner != member.name:
                raise ConfigurationError(
                    f"{owner} and {member.name} have the same {what}; make new keys for "
                    f"{member.name} with `fedtrade provision keys`."
                )


def _keys_of(member: Member, kit: Path) -> tuple[str, str]:
    """A new party's public keys; the private ones are made in its kit if it brings none."""
    if member.node_key is not None and member.identity is not None:
        return member.node_key, member.identity
    return make_keys(kit)


def _outcome(party: Party, known: Party | None) -> str:
    if known is None:
        return "new"
    if known.revoked:
        return "revoked"
    return "kept" if party.number == known.number else f"kept, its number is {party.number} now"


def _make_certificates(
    consortium: Consortium, folder: Path
) -> tuple[tuple[str, str], tuple[str, str]]:
    """The authority and the server's certificate, as far as they are missing; what was done."""
    place, server = folder / AUTHORITY_FOLDER, folder / SERVER_FOLDER
    authority, outcome = _authority(folder), "kept"
    if authority is None:
        key = place / AUTHORITY_KEY  # there, if making it was interrupted
        authority = make_authority(consortium.name, key=key.read_bytes() if key.exists() else None)
        outcome = "new"
        write_private(key, authority.key)
        write_atomically(place / AUTHORITY, authority.certificate)
    write_atomically(server / AUTHORITY, authority.certificate)
    is_new = not (server / CERTIFICATE).exists()
    if is_new:
        _issue(consortium, authority, folder)
    served = served_by((server / CERTIFICATE).read_bytes())
    missing = [host for host in _hosts(consortium) if host not in served.hosts]
    said = f"{'new' if is_new else 'kept'}, until {served.until:%Y-%m-%d}"
    if missing:
        said += f", not for {', '.join(missing)}: `fedtrade provision renew`"
    elif served.until <= datetime.now(UTC):
        said += ", expired: `fedtrade provision renew`"
    return ("authority", outcome), ("server certificate", said)


def _authority(folder: Path) -> Issued | None:
    """The authority; without its key, which may be kept elsewhere, and needed for nothing else."""
    place = folder / AUTHORITY_FOLDER
    found = [path for path in (place / AUTHORITY, _server_copy(folder)) if path.exists()]
    if not found:
        return None
    key = place / AUTHORITY_KEY
    return Issued(found[0].read_bytes(), key.read_bytes() if key.exists() else b"")


def _server_copy(folder: Path) -> Path:
    """Of the authority's certificate."""
    return folder / SERVER_FOLDER / AUTHORITY


def _issue(consortium: Consortium, authority: Issued, folder: Path) -> None:
    if not authority.key:
        raise ConfigurationError(
            f"{folder / AUTHORITY_FOLDER} has no {AUTHORITY_KEY}, which signs certificates; bring "
            "it back for a moment."
        )
    hosts = tuple(_hosts(consortium))
    issued = make_certificate(authority, consortium.name, hosts, consortium.valid_days)
    server = folder / SERVER_FOLDER
    write_private(server / CERTIFICATE_KEY, issued.key)
    write_atomically(server / CERTIFICATE, issued.certificate)


def _hosts(consortium: Consortium) -> Iterable[str]:
    """All that the certificate is for, as a certificate writes them."""
    hosts = (consortium.server.host, *consortium.server.hosts, *ALWAYS)
    return dict.fromkeys(_normalised(host) for host in hosts)


def _normalised(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _kit_settings(
    consortium: Consortium, member: Member, party: Party, registry: Registry
) -> dict[str, Any]:
    has_holder = any(known.role == "key_holder" for known in registry.active)
    settings: dict[str, Any] = {
        "name": party.name,
        "role": party.role,
        "number": party.number,
        "superlink": consortium.server.address,
        "root_certificates": AUTHORITY,
        "key": NODE_KEY,
        "identity_key": IDENTITY_KEY,
        "identities": IDENTITIES,
        "identities_encrypted": IDENTITIES_ENCRYPTED if has_holder else None,
        "state": "state",
    }
    if party.role == "key_holder":
        settings["data"] = "from_run"
    return settings | member.settings


def default_folder(path: Path) -> Path:
    """Where a consortium goes by default: a folder named like its file, beside it."""
    return path.absolute().with_suffix("")
