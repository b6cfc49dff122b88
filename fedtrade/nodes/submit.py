"""Submit a run to a SuperLink, follow it, and say how it ended."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fedtrade.atomic import write_atomically
from fedtrade.errors import NodeError
from fedtrade.nodes.bundle import write_bundle
from fedtrade.nodes.flower import command_line, tool
from fedtrade.nodes.flower_commands import flwr, said
from fedtrade.nodes.process import Process, ignore
from fedtrade.settings import Settings

__all__ = ["Submitted", "run_started", "submit"]

STARTED: Final = re.compile(r"Successfully started run (\d+)")


class Submitted:
    """A run that was submitted; its log passes line by line.

    Attributes
    ----------
    run_id : str
        Empty until Flower has told it.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        connection: str,
        folder: Path,
        on_line: Callable[[str], None] = ignore,
    ) -> None:
        self.run_id = ""
        self._on_line, self._environment, self._connection = on_line, environment, connection
        write_bundle(folder / "app")
        run = folder / "run.toml"
        write_atomically(run, f"settings = {json.dumps(settings.to_json())}\n")
        self.command = [
            *(tool("flwr"), "run", str(folder / "app"), connection, "--stream"),
            *("--run-config", str(run)),
        ]
        self.process = Process(
            self.command,
            name="`flwr run`",
            environment=environment,
            on_line=self._heard,
            folder=folder,
        )

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it ended in time.

        Raises
        ------
        NodeError
            If it could not be submitted.
        """
        status = self.process.wait(timeout_s)
        if status is None:
            return False
        if not self.run_id:
            words = said(list(self.process.tail))
            raise NodeError(f"the run could not be submitted: {words}.")
        return True

    def stop(self) -> None:
        """End the run on the SuperLink, and following it."""
        if self.run_id:
            with contextlib.suppress(NodeError):  # the SuperLink may be gone
                flwr(self._environment, "stop", self.run_id, self._connection)
        self.process.stop()

    def _heard(self, line: str) -> None:
        self.run_id = self.run_id or run_started(line)  # later lines have others' words
        self._on_line(line)


def run_started(line: str) -> str:
    """The id of the run that Flower says it has started; empty if it says something else."""
    found = STARTED.search(line)
    return found.group(1) if found else ""


def submit(
    settings: Settings,
    environment: Mapping[str, str],
    connection: str,
    on_line: Callable[[str], None] = ignore,
    is_stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = ignore,
) -> str:
    """Submit a run and follow it to its end; its id.

    Parameters
    ----------
    environment : mapping of str to str
        That of Flower's commands.
    connection : str
        Of Flower's own configuration.
    on_line : callable
        Called with each line of the run's log.
    is_stopped : callable
        Whether it shall be ended.
    say : callable
        Called with the command.

    Raises
    ------
    NodeError
        If it could not be submitted.
    """
    with TemporaryDirectory(prefix="fedtrade-run-") as folder:
        submitted = Submitted(settings, environment, connection, Path(folder), on_line)
        say(command_line(submitted.command, {"FLWR_HOME": environment["FLWR_HOME"]}))
        try:
            while not submitted.wait(0.2) and not is_stopped():
                pass
        finally:
            if submitted.process.status is None:
                submitted.stop()
        return submitted.run_id
