"""From the arguments of a command line to the settings of a party's machine."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from conf.composition import composed_values
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.consortium import GIVEN
from fedtrade.nodes.kits import SETTINGS, check_kit
from fedtrade.nodes.settings import ClientSettings, ServerSettings
from fedtrade.settings import Settings
from fedtrade.settings_record import SettingsRecord

__all__ = ["client_settings", "kit_of", "server_settings", "settings_of_kit"]

PATHS: Final = (
    "root_certificates",
    "key",
    "identity_key",
    "identities",
    "identities_encrypted",
    "state",
    "data.path",
)
"""Keys that are paths; those in a kit's settings are relative to its folder."""

PLAIN: Final = re.compile(r"[A-Za-z0-9_./:+-]+")


def client_settings(arguments: Sequence[str]) -> ClientSettings:
    """Those of one party, from its kit (`kit=FOLDER`) and further overrides.

    Raises
    ------
    ConfigurationError
        If the kit is not whole, or an override is wrong.
    """
    if not any(text.startswith(("kit=", "name=")) for text in arguments):
        raise ConfigurationError(
            "no start kit is named; add kit=FOLDER, which the operator has given you, and "
            "data.path=FILE, your prices (a key holder has none)."
        )
    kit = kit_of(arguments)
    others = [text for text in arguments if not text.startswith("kit=")]
    own = [] if kit is None else list(_kit_overrides(kit))
    values = composed_values(
        "client", [*own, *others], all_keys="`fedtrade client --plan` prints every setting."
    )
    return ClientSettings.from_mapping(_with_absolute_paths(values))


def kit_of(arguments: Sequence[str]) -> Path | None:
    """The folder of the kit that a command line names.

    Raises
    ------
    ConfigurationError
        If it names two.
    """
    kits = [text.partition("=")[2] for text in arguments if text.startswith("kit=")]
    if len(kits) > 1:
        raise ConfigurationError(f"kit={kits[1]} is the second kit; a node has one.")
    return Path(kits[0]) if kits else None


def server_settings(arguments: Sequence[str]) -> tuple[Settings, ServerSettings]:
    """Those of a run, and those of the operator's machine.

    Raises
    ------
    ConfigurationError
        If an override is wrong.
    """
    values = composed_values(
        "server", arguments, all_keys="`fedtrade server --plan` prints every setting."
    )
    own = _Own.from_mapping({"server": values.pop("server")})
    return Settings.from_mapping(values), own.server


class _Own(SettingsRecord):
    """The server's settings under the key that they have on the command line."""

    server: ServerSettings


def settings_of_kit(kit: Path) -> dict[str, Any]:
    """What a whole kit sets by itself beyond who the party is and where its files are.

    Whoever made the kit has chosen it: whether other code than this installation's may answer, or
    what a run may ask for.

    Raises
    ------
    ConfigurationError
        If the kit is not whole, or has a key that is none of `conf/client.yaml`.
    """
    return {key: value for key, value in _flat(_read_kit(kit)) if key not in (*PATHS, *GIVEN)}


def _kit_overrides(kit: Path) -> Iterator[str]:
    for key, value in _flat(_read_kit(kit)):
        if key in PATHS and isinstance(value, str):
            value = str((kit / value).absolute())
        yield f"{key}={_text(value)}"


def _read_kit(kit: Path) -> Mapping[str, Any]:
    check_kit(kit)
    path = kit / SETTINGS
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {' '.join(str(error).split())}."
        ) from None
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path} must have keys of `fedtrade client`.")
    unknown = [key for key in values if key not in ClientSettings.model_fields]
    if unknown:
        raise ConfigurationError(
            f"{path} has the key {unknown[0]!r}, which no kit has; ask for a new kit."
        )
    return values


def _with_absolute_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Paths stay right wherever the node's processes run."""
    for key in PATHS:
        *heads, last = key.split(".")
        place: Any = values
        for head in heads:
            place = place.get(head) if isinstance(place, dict) else None
        if isinstance(place, dict) and isinstance(place.get(last), str):
            place[last] = str(Path(place[last]).absolute())
    return values


def _flat(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def _text(value: Any) -> str:
    """A value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{','.join(map(_text, value))}]"
        case str() if not PLAIN.fullmatch(value):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
            return f"'{escaped}'"
        case _:
            return str(value)
