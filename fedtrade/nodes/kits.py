"""A start kit: the folder that a party gets, with a manifest by which it sees that it is whole."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.private_files import check_private, make_private_folder, write_private
from fedtrade.nodes.registry import Registry
from fedtrade.report.atomic import write_atomically

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
PRIVATE: Final = (NODE_KEY, IDENTITY_KEY)
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
    private_keys: Mapping[str, bytes],
) -> None:
    """Write a party's kit; a private key that is there already stays as it is.

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
    private_keys : mapping of str to bytes
        By file; empty for a party that makes its own.
    """
    make_private_folder(folder)
    for name, key in private_keys.items():
        if not (folder / name).exists():
            write_private(folder / name, key)
    write_atomically(folder / AUTHORITY, authority)
    write_atomically(folder / NODE_PUBLIC, f"{node_public}\n")
    write_identities(folder, registry)
    write_atomically(folder / SETTINGS, _settings_text(settings))
    write_atomically(folder / README, _readme(settings, brings_keys=not private_keys))
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """List the files of a kit with their SHA-256, as `sha256sum -c` reads it."""
    lines = [f"{_sha256(folder / n)}  {n}\n" for n in LISTED if (folder / n).exists()]
    write_atomically(folder / MANIFEST, "".join(lines))


def check_kit(folder: Path) -> None:
    """Check that a kit is whole and that its private keys are private.

    Raises
    ------
    ConfigurationError
        Naming the file that is missing, differs, or may be read by others.
    """
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"kit={folder}: the manifest cannot be read ({error}); name a folder that "
            "`fedtrade provision` made."
        ) from None
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    listed = {name: digest for digest, name in pairs}
    for name in (AUTHORITY, SETTINGS, IDENTITIES):
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
    for name in PRIVATE:
        check_private(folder / name)


def write_identities(folder: Path, registry: Registry) -> None:
    """Write the public identity keys, as `aggregation.identities` takes them in each mode."""
    participants = {p.number: p.identity for p in registry.active if p.role == "participant"}
    holders = [p for p in registry.active if p.role == "key_holder"]
    write_atomically(folder / IDENTITIES, _listed(participants))
    if holders:
        last = {holders[-1].number: holders[-1].identity}
        write_atomically(folder / IDENTITIES_ENCRYPTED, _listed(participants | last))


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
        f"Put your own {NODE_KEY} and {IDENTITY_KEY} here (`fedtrade provision keys .` makes them)."
        if brings_keys
        else f"Keep {NODE_KEY} and {IDENTITY_KEY} to yourself: whoever has them is you."
    )
    return (
        f"Start the node of {settings.get('name')} ({role}) in this folder: {start}\n"
        f"{keys}\n"
        f"See that the kit is whole: sha256sum -c {MANIFEST}\n"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
