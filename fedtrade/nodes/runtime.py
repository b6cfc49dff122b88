"""The runtime `superlink`: real processes, on this machine's loopback or at a SuperLink's."""

import os
from pathlib import Path
from typing import Final, Literal

from fedtrade.errors import ConfigurationError, NodeError
from fedtrade.folder_lock import ENDING_S, check_free
from fedtrade.holdings import with_participants
from fedtrade.nodes.flower import check_connection, environment
from fedtrade.nodes.flower_commands import run_status
from fedtrade.nodes.foresight import check_ahead
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.server import COMPLETED, reason_of
from fedtrade.nodes.signals import stopping
from fedtrade.nodes.submit import submit
from fedtrade.settings import Settings

__all__ = ["run", "run_on"]

USUAL_REPLY_S: Final = 3600.0
"""What `federation.reply_timeout_s` is if nobody chose it."""

DEADLINE_S: Final = 30.0


def run(
    settings: Settings,
    *,
    connection: str | None = None,
    executor: Literal["warm", "stock"] = "warm",
) -> None:
    """Run the settings on real nodes; the ServerApp writes the results to `settings.out`.

    Parameters
    ----------
    connection : str or None
        Of Flower's own configuration, to a SuperLink that is there; None starts a SuperLink and
        all nodes on loopback for this run alone.
    executor : {"warm", "stock"}
        Of nodes on loopback.

    Raises
    ------
    ConfigurationError
        If some participants shall lie, or the run cannot work with so many.
    NodeError
        If the run fails.
    """
    if settings.attack is not None:
        raise ConfigurationError(
            f"attack._target_={settings.attack.target} needs all replies of a round in one place; "
            "use runtime=inprocess (or attack=none)."
        )
    if executor not in ("warm", "stock"):
        raise ConfigurationError(f"runtime.executor must be 'warm' or 'stock', got {executor!r}.")
    if connection is not None:
        run_on(settings, connection)
        return
    settings = _patient(with_participants(settings))
    check_ahead(settings)
    check_free(Path(settings.out), "out", ENDING_S)
    lines: list[str] = []
    with LocalConsortium(
        settings.federation.n_participants or 1,
        settings.aggregation.n_key_holders,
        executor=executor,
        on_line=lambda who, line: _heard(who, line, lines, settings.progress),
    ) as consortium:
        run_id = consortium.run(settings)
        if consortium.superlink.run_status(run_id) != COMPLETED:
            raise NodeError(reason_of(lines) or "the run failed: " + " ".join(lines[-3:]))


def run_on(settings: Settings, connection: str) -> None:
    """Submit a run to a SuperLink that is there, and follow it.

    Raises
    ------
    ConfigurationError
        If there is no such connection.
    NodeError
        If it cannot be submitted, or fails.
    """
    settings = _patient(settings)
    check_ahead(settings)
    home = Path(os.environ.get("FLWR_HOME", "~/.flwr")).expanduser()
    check_connection(home, connection)
    own = environment(home)
    lines: list[str] = []
    with stopping() as stop:
        run_id = submit(
            settings,
            own,
            connection,
            lambda line: _heard("run", line, lines, settings.progress),
            stop,
        )
        if stop():
            raise NodeError(f"the run {run_id} was stopped.")
    if run_status(own, connection, run_id) != COMPLETED:
        raise NodeError(reason_of(lines) or f"the run {run_id} failed: {' '.join(lines[-3:])}")


def _patient(settings: Settings) -> Settings:
    """With an absolute folder, plain progress, and real nodes' deadline if none was chosen."""
    values = settings.to_mapping()
    federation = values["federation"]
    if federation["reply_timeout_s"] == USUAL_REPLY_S:
        federation["reply_timeout_s"] = DEADLINE_S
    values["out"] = str(Path(settings.out).absolute())
    values["progress"] = "none" if settings.progress == "none" else "plain"
    return Settings.from_mapping(values)


def _heard(who: str, line: str, lines: list[str], progress: str) -> None:
    if who != "run":
        return
    lines.append(line)
    if progress != "none" and line.startswith(("episode ", "run ")):
        print(line, flush=True)
