"""Flower's short commands: run one, and read the JSON that it prints."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedtrade.errors import NodeError
from fedtrade.nodes.flower import tool
from fedtrade.nodes.process import Process

__all__ = ["flwr", "json_of", "run_status", "said"]

COMMAND_S: Final = 60.0
FRAME: Final = " │╭╮╰╯─"


def flwr(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Run `flwr` and give the JSON object that it printed, empty if it printed none.

    Raises
    ------
    NodeError
        If it fails, with what it said.
    """
    return json_of([tool("flwr"), *arguments], f"`flwr {' '.join(arguments[:2])}`", environment)


def json_of(command: Sequence[str], name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a short command and give the JSON object that it printed, empty if it printed none.

    Parameters
    ----------
    name : str
        What it is called in messages.

    Raises
    ------
    NodeError
        If it fails, with what it said.
    """
    lines: list[str] = []
    child = Process(command, name=name, environment=environment, on_line=lines.append)
    try:
        status = child.wait(COMMAND_S)
    finally:
        child.stop(0.0)
    text = "\n".join(lines)
    try:
        found = json.loads(text[text.index("{") :])
    except ValueError:
        found = {}
    if status != 0 or not isinstance(found, dict) or found.get("success") is False:
        words = found.get("error-message") if isinstance(found, dict) else None
        reason = said(str(words).splitlines() if words else lines)
        raise NodeError(f"{name} failed: {reason}.")
    return found


def run_status(environment: Mapping[str, str], connection: str, run_id: str) -> str:
    """Flower's word for how a run stands, such as `finished:completed`."""
    found = flwr(environment, "list", connection, "--run-id", run_id, "--format", "json")
    runs = found.get("runs") or [{}]
    return str(runs[0].get("status", ""))


def said(lines: list[str]) -> str:
    """What Flower's command line said last, without its frames."""
    words = [line.strip(FRAME) for line in lines]
    return " ".join(word for word in words if word)[-400:].rstrip(".") or "it said nothing"
