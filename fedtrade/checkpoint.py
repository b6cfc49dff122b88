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

    def load(self, number: int) -> EpisodeOutcome | None:
        """The episode as far as it has come, or None."""
        try:
            return from_bytes(self._file(number).read_bytes())
        except FileNotFoundError:
            return None

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
        except (OSError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{self._run_file} cannot be read: {error}.") from error
        for key, value in _flat(described).items():
            if _flat(kept).get(key) != value:
                raise CheckpointError(
                    f"the checkpoint in {self._folder} belongs to another run: it has "
                    f"{key}={_flat(kept).get(key)!r}, the settings say {value!r}. "
                    "Resume with the same settings, or start in another folder."
                )


def _with_effect(settings: Settings) -> dict[str, Any]:
    values = settings.to_mapping()
    return {key: value for key, value in values.items() if key not in WITHOUT_EFFECT}


def _flat(values: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{head}{key}.")
        else:
            out[f"{head}{key}"] = value
    return out
