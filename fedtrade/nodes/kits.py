"""A start kit: the folder that a party gets, with a manifest by which it sees that it is whole."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from fedtrade.atomic import write_atomically
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import (
    identity_public,
    make_identity_key,
    make_node_key,
    node_public,
)
from fedtrade.nodes.registry import Registry
from fedtrade.private_files import check_private, make_private_folder, write_private

__all__ = [
    "AUTHORITY",
    "IDENTITIES",
    "IDENTITIES_ENCRYPTED",
    "IDENTITY_KEY",
    "MANIFEST",
    "NODE_KEY",
    "NODE_PUBLIC",
    "SETTINGS",
    "check_kit",
    "make_keys",
    "public_keys",
    "write_identities",
    "write_kit",
    "write_manifest",
]

AUTHORITY: Final = "ca.crt"
NODE_KEY: Final = "node.key"
NODE_PUBLIC: Final = "node.pub"
IDENTITY_KEY: Final = "identity.key"
IDENTITIES: Final = "identities.json"
IDENTITIES_ENCRYPTED: Final = "identities-encrypted.json"
SETTINGS: Final = "client.yaml"
README: Final = "README.txt"
MANIFEST: Final = "MANIFEST.sha256"
MAKERS: Final[Mapping[str, Callable[[], bytes]]] = {
    NODE_KEY: make_node_key,
    IDENTITY_KEY: make_identity_key,
}
"""Of private keys, by their file."""

LISTED: Final = (
    AUTHORITY,
    NODE_KEY,
    NODE_PUBLIC,
    IDENTITY_KEY,
    IDENTITIES,
    IDENTITIES_ENCRYPTED,
    SETTINGS,
    README,
)


def write_kit(
    folder: Path,
    *,
    settings: Mapping[str, Any],
    authority: bytes,
    registry: Registry,
    node_public: str,
    brings_keys: bool,
) -> None:
    """Write what is public of a party's kit, and its manifest; private keys stay as they are.

    Parameters
    ----------
    settings : mapping
        Keys of `conf/client.yaml`; paths are relative to the folder.
    authority : bytes
        The authority's certificate.
    registry : Registry
        Whose public identity keys the kit has.
    node_public : str
        A line of OpenSSH.
    brings_keys : bool
        Whether the party puts its own private keys in.
    """
    make_private_folder(folder)
    write_atomically(folder / AUTHORITY, authority)
    write_atomically(folder / NODE_PUBLIC, f"{node_public}\n")
    write_identities(folder, registry)
    write_atomically(folder / SETTINGS, _settings_text(settings))
    write_atomically(folder / README, _readme(settings, brings_keys=brings_keys))
    write_manifest(folder)


def make_keys(folder: Path) -> tuple[str, str]:
    """Make what is missing of a party's private keys; the public ones, the node's and identity.

    Keys that are there stay.

    Raises
    ------
    ConfigurationError
        If one that is there is none, or others may read it.
    OutputError
        If one cannot be written.
    """
    make_private_folder(folder)
    for name, make in MAKERS.items():
        if not (folder / name).exists():
            write_private(folder / name, make())
        check_private(folder / name)
    node, identity = public_keys(folder)
    write_atomically(folder / NODE_PUBLIC, f"{node}\n")
    return node, identity


def public_keys(folder: Path) -> tuple[str, str]:
    """The public keys, the node's and identity, that belong to the private ones in a folder.

    Raises
    ------
    ConfigurationError
        If a private one is not there, or is none.
    """
    found = []
    for name, public in ((NODE_KEY, node_public), (IDENTITY_KEY, identity_public)):
        try:
            found.append(public((folder / name).read_bytes()))
        except OSError as error:
            raise ConfigurationError(
                f"the private key {folder / name} cannot be read: {error.strerror}."
            ) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{folder / name}: {error}") from None
    return found[0], found[1]


def write_manifest(folder: Path) -> None:
    """List the files of a kit with their SHA-256, as `sha256sum -c` reads it."""
    lines = [f"{_sha256(folder / n)}  {n}\n" for n in LISTED if (folder / n).exists()]
    write_atomically(folder / MANIFEST, "".join(lines))


def check_kit(folder: Path) -> None:
    """Check that a kit is whole, and that its private keys are private and the registered ones.

    Raises
    ------
    ConfigurationError
        Naming the file that is missing, differs, may be read by others, or is another party's.
    """
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"kit={folder}: the manifest cannot be read ({reason}); name a folder that "
            "`fedtrade provision` made."
        ) from None
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    listed = {name: digest for digest, name in pairs}
    for name in (AUTHORITY, NODE_PUBLIC, SETTINGS, IDENTITIES):
        if name not in listed:
            raise ConfigurationError(
                f"kit={folder}: the manifest lists no {name}; ask for a new kit."
            )
    for name, digest in listed.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ConfigurationError(f"kit={folder}: {name} is missing; ask for a new kit.")
        if _sha256(folder / name) != digest:
            raise ConfigurationError(
                f"kit={folder}: {name} is not the file that the manifest lists; ask for a new "
                "kit, or put your own settings on the command line."
            )
    for name in MAKERS:
        check_private(folder / name)
    _check_keys(folder)


def write_identities(folder: Path, registry: Registry) -> None:
    """Write the public identity keys, as `aggregation.identities` takes them in each mode."""
    participants = {p.number: p.identity for p in registry.active if p.role == "participant"}
    holders = [p for p in registry.active if p.role == "key_holder"]
    write_atomically(folder / IDENTITIES, _listed(participants))
    if holders:
        last = {holders[-1].number: holders[-1].identity}
        write_atomically(folder / IDENTITIES_ENCRYPTED, _listed(participants | last))
    elif (folder / IDENTITIES_ENCRYPTED).exists():  # of a key holder that was taken out
        write_atomically(folder / IDENTITIES_ENCRYPTED, _listed({}))


def _check_keys(folder: Path) -> None:
    node, identity = public_keys(folder)
    if (folder / NODE_PUBLIC).read_text(encoding="utf-8").split() != node.split():
        raise ConfigurationError(
            f"kit={folder}: {NODE_KEY} does not belong to {NODE_PUBLIC}, the key that is "
            "registered; put the key there that was made with it, or ask for a new kit."
        )
    lists = [folder / name for name in (IDENTITIES, IDENTITIES_ENCRYPTED)]
    try:
        known = [json.loads(path.read_text(encoding="utf-8")) for path in lists if path.exists()]
        is_known = any(identity in keys.values() for keys in known)
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"kit={folder}: a list of public keys cannot be read ({error}); ask for a new kit."
        ) from None
    if not is_known:
        raise ConfigurationError(
            f"kit={folder}: {IDENTITY_KEY} belongs to none of the public keys in {IDENTITIES}; put "
            "the key there whose public one was given, or ask whether the party was taken out."
        )


def _listed(identities: Mapping[int, str]) -> str:
    return json.dumps({str(k): identities[k] for k in sorted(identities)}, indent=2) + "\n"


def _settings_text(settings: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def _readme(settings: Mapping[str, Any], *, brings_keys: bool) -> str:
    role = settings.get("role")
    start = (
        "fedtrade client kit=." if role == "key_holder" else "fedtrade client kit=. data.path=FILE"
    )
    keys = (
        f"Put the {NODE_KEY} and {IDENTITY_KEY} that you have made here, with mode 600."
        if brings_keys
        else f"Keep {NODE_KEY} and {IDENTITY_KEY} to yourself: whoever has them is you."
    )
    return (
        f"Start the node of {settings.get('name')} ({role}) in this folder: {start}\n"
        f"{keys}\n"
        "See that the kit is whole, and what it sets by itself: fedtrade provision check .\n"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
