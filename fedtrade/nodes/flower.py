"""Flower's commands: where they are, the environment they need, and how they are called."""

import os
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fedtrade.atomic import write_atomically
from fedtrade.errors import ConfigurationError

__all__ = [
    "CONNECTION",
    "check_connection",
    "command_line",
    "environment",
    "tool",
    "write_connection",
]

CONNECTION: Final = "fedtrade"
"""What the connection to the SuperLink is called in Flower's own configuration."""

QUIET: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def tool(name: str) -> str:
    """The path of one of Flower's commands in this environment."""
    return str(Path(sys.executable).with_name(name))


def environment(home: Path, **further: str) -> dict[str, str]:
    """The environment of this process, Flower's own folder, and what keeps Flower quiet.

    Flower's commands start each other by name, so they must be on the `PATH`.

    Parameters
    ----------
    home : Path
        Flower's folder for this party.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    chosen = {name: os.environ.get(name, value) for name, value in QUIET.items()}
    return {**os.environ, **chosen, "FLWR_HOME": str(home), "PATH": path, **further}


def write_connection(home: Path, address: str, authority: Path) -> None:
    """Tell Flower's command line where the SuperLink is."""
    write_atomically(
        home / "config.toml",
        f"[superlink]\ndefault = {_toml(CONNECTION)}\n\n[superlink.{CONNECTION}]\n"
        f"address = {_toml(address)}\nroot-certificates = {_toml(str(authority))}\n",
    )


def check_connection(home: Path, connection: str) -> None:
    """Whether Flower's command line knows a connection; it would write a file to say that not.

    Raises
    ------
    ConfigurationError
    """
    path = home / "config.toml"
    try:
        links = tomllib.loads(path.read_text(encoding="utf-8")).get("superlink", {})
    except FileNotFoundError:
        links = {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    if not isinstance(links, dict) or not isinstance(links.get(connection), dict):
        raise ConfigurationError(
            f"there is no connection {connection!r} in {path}; `fedtrade server --only` prints the "
            "command that submits runs to it, with its FLWR_HOME."
        )


def command_line(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """A command as one would type it."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
    return " ".join([*settings, shlex.join([Path(command[0]).name, *command[1:]])])


def _toml(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
