"""Checkpoints of a run: finished episodes, and the one in progress after each round.

A folder holds `run.json` (the settings that decide the outcome) and one file an episode. Every
file is written under a temporary name and renamed, so a crash leaves the last whole one.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedtrade.errors import CheckpointError
from fedtrade.outcome import EpisodeOutcome, from_bytes, to_bytes
from fedtrade.report.atomic import write_atomically
from fedtrade.settings import Settings
from fedtrade.wire import EpisodeRecord

__all__ = ["Checkpoints"]

WITHOUT_EFFECT = ("out", "resume", "progress", "runtime")
"""Settings that do not change what a run computes."""


class Checkpoints:
    """The checkpoints in one folder.

    Parameters
    ----------
    folder : Path
        Created if need be. Without `settings.resume`, what is in it is removed.
    settings : Settings
        Of the run that writes them.

    Raises
    ------
    CheckpointError
        If the run is to be resumed and the folder has no checkpoint, or one of other settings.
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._run_file = folder / "run.json"
        described = _with_effect(settings)
        if settings.resume:
            self._check(described)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            write_atomically(self._run_file, json.dumps(described, indent=2))

    def load(self, episode: EpisodeRecord) -> EpisodeOutcome | None:
        """The episode as far as it has come, or None.

        Raises
        ------
        CheckpointError
            If what is kept is damaged or belongs to other data.
        """
        path = self._file(episode.number)
        try:
            outcome = from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}.") from error
        if outcome.episode != episode:
            raise CheckpointError(
                f"the checkpoint in {self._folder} belongs to other data: its episode "
                f"{episode.number} has the origin {outcome.episode.origin_date}, not "
                f"{episode.origin_date}. Start again with resume=false."
            )
        return outcome

    def save(self, outcome: EpisodeOutcome) -> None:
        """Keep the episode as far as it has come, in place of what was kept of it before."""
        write_atomically(self._file(outcome.episode.number), to_bytes(outcome))

    def _file(self, number: int) -> Path:
        return self._folder / f"episode-{number:04d}.npz"

    def _check(self, described: Mapping[str, Any]) -> None:
        try:
            kept = json.loads(self._run_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(
                f"there is nothing to resume: {self._folder} has no checkpoint. "
                "Start with resume=false, or name the run's folder with out=."
            ) from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self._run_file} cannot be read: {error}.") from error
        there, here = _flat(kept), _flat(described)
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                raise CheckpointError(
                    f"the checkpoint in {self._folder} belongs to another run: it has "
                    f"{key}={there.get(key)!r}, the settings say {here.get(key)!r}. "
                    "Resume with the same settings, or start in another folder."
                )


def _with_effect(settings: Settings) -> dict[str, Any]:
    values = settings.to_mapping()
    return {key: value for key, value in values.items() if key not in WITHOUT_EFFECT}


def _flat(values: Any, head: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {head or "the settings": values}
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{head}{key}.")
        else:
            out[f"{head}{key}"] = value
    return out
