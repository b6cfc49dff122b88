"""What the commands `fedtrade server` and `fedtrade client` do, with what they say meanwhile."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.folder_lock import ENDING_S, check_free, held
from fedtrade.nodes.flower import CONNECTION, command_line
from fedtrade.nodes.foresight import check_ahead
from fedtrade.nodes.logs import Log
from fedtrade.nodes.provision import KITS_FOLDER, Provisioned
from fedtrade.nodes.runtime import run_on
from fedtrade.nodes.server import Server, prepared, run_to_its_end
from fedtrade.nodes.settings import ClientSettings, ServerSettings
from fedtrade.nodes.signals import stopping
from fedtrade.nodes.superlink import SuperLink
from fedtrade.nodes.supernode import SuperNode
from fedtrade.private_files import make_private_folder
from fedtrade.report.outputs import RESULTS
from fedtrade.settings import Settings

__all__ = [
    "launch_client",
    "launch_run",
    "launch_server",
    "print_provisioned",
    "sentence_on_kit",
]

PAUSE_S = 0.2
USER_ERROR = 2
BY_SIGNAL = 128


def launch_server(
    settings: Settings, server: ServerSettings, *, only: bool = False, fresh: bool = False
) -> None:
    """Serve until the run has ended, or with `only` until told to stop.

    Raises
    ------
    FedtradeError
        If it cannot be started, or the run fails.
    SystemExit
        With 128 and the signal's number, if it was told to stop before the run had ended.
    """
    with _log("server", server) as log, stopping() as stop:
        settings = prepared(settings, server)
        if not only:
            check_ahead(settings)
            check_free(Path(settings.out), "out", ENDING_S)
        with Server(server, log.say, log.hear) as running:
            if only:
                log.say(f"Submit runs with: {_how_to_submit(running.superlink)}")
                while not stop():
                    running.keep_up(PAUSE_S)
                return
            run_to_its_end(running, settings, log.say, log.passed_on("run"), stop, fresh=fresh)
        if stop():
            log.say(f"Stopped. The last checkpoint is in {settings.out}; the same command goes on.")
            raise SystemExit(BY_SIGNAL + (stop.number or 0))
    _print_results(Path(settings.out))


def launch_client(settings: ClientSettings, of_kit: Mapping[str, Any] | None = None) -> None:
    """Run a party's node until told to stop.

    Parameters
    ----------
    of_kit : mapping of str to object, or None
        What the kit sets by itself, which the log says.

    Raises
    ------
    FedtradeError
        If it cannot be started, or ends by itself.
    """
    with _log(settings.name, settings) as log, stopping() as stop:
        _check_prices(settings)
        if of_kit:
            log.say(sentence_on_kit(of_kit))
        make_private_folder(Path(settings.state))
        with held(Path(settings.state), "state"):
            node = SuperNode(settings, log.passed_on(settings.name), log.say)
            try:
                node.serve(stop)
            finally:
                node.stop()
        log.say("Stopped.")


def _check_prices(settings: ClientSettings) -> None:
    """Whether a file of prices is there; a run would only say so hours later."""
    path = None if settings.data is None else settings.data.options.get("path")
    if isinstance(path, str) and not os.access(path, os.R_OK):
        reason = "cannot be read" if Path(path).exists() else "is not there"
        raise ConfigurationError(
            f"data.path={path} {reason}; name a file of your own prices, or a folder of them."
        )


def launch_run(settings: Settings, connection: str) -> None:
    """Submit a run to a SuperLink that is there; print its results if they are on this machine.

    Raises
    ------
    FedtradeError
        If it cannot be submitted, or fails.
    """
    results = Path(settings.out) / RESULTS
    before = results.stat().st_mtime_ns if results.exists() else None
    run_on(settings, connection)
    is_here = results.exists() and results.stat().st_mtime_ns != before
    if is_here and settings.progress != "none":
        _print_results(Path(settings.out))


def sentence_on_kit(of_kit: Mapping[str, Any]) -> str:
    """What a kit sets by itself, for those who run it and did not make it."""
    settings = ", ".join(f"{key}={value!r}" for key, value in of_kit.items())
    return f"The kit, and so whoever made it, sets {settings}."


def print_provisioned(made: Provisioned) -> None:
    """A table of what became of the certificates and of each party."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{made.folder}")
    for column in ("party", "role", "", "kit"):
        table.add_column(column)
    for name, outcome in made.certificates:
        table.add_row(name, "", outcome, "")
    table.add_section()
    for name, role, outcome in made.rows:
        table.add_row(name, role.replace("_", " "), outcome, str(Path(KITS_FOLDER) / name))
    Console().print(table)


@contextmanager
def _log(source: str, settings: ServerSettings | ClientSettings) -> Iterator[Log]:
    """What is said, to the end; if all of it shall be JSON, so is why it ends."""
    log = Log(source, settings.log)
    try:
        yield log
    except FedtradeError as error:
        if log.form == "text":
            raise
        log.say(str(error), event="failed", level="error")
        raise SystemExit(USER_ERROR) from None
    finally:
        log.close()


def _how_to_submit(link: SuperLink) -> str:
    command = ["fedtrade", "run", "--on", CONNECTION]
    return command_line(command, {"FLWR_HOME": str(link.home)})


def _print_results(out: Path) -> None:
    from fedtrade.report import print_results, read_results

    print_results(read_results(out / RESULTS))
    print(f"Report: {out / 'report.html'}")
