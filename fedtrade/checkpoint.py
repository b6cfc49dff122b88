"""Checkpoints of a run: finished episodes, and the one in progress after each round.

A folder holds `run.json` (what decides the outcome: the settings, and a hash of the data where the
server sees them) and one file an episode. Every file is written under a temporary name and renamed,
so a crash leaves the last whole one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedtrade.atomic import remove, write_atomically
from fedtrade.errors import CheckpointError
from fedtrade.market import Panel
from fedtrade.outcome import EpisodeOutcome, from_bytes, to_bytes
from fedtrade.settings import Settings
from fedtrade.wire import EpisodeRecord

__all__ = ["FOLDER", "RUN_FILE", "Checkpoints", "can_resume", "fingerprint"]

WITHOUT_EFFECT = ("out", "resume", "progress", "runtime")
"""Settings that do not change what a run computes."""
PATIENCE = ("reply_timeout_s", "join_timeout_s", "quorum")
"""Those of `federation` that say who is waited for: a run may go on with more or less of it."""
FOLDER = "checkpoint"
"""Where a run keeps them, in its `out`."""
RUN_FILE = "run.json"
DATA_HASH = "data_sha256"


class Checkpoints:
    """The checkpoints in one folder.

    Parameters
    ----------
    folder : Path
        Created if need be. Without `settings.resume`, the checkpoint in it is removed, and nothing
        that is not a part of one.
    settings : Settings
        Of the run that writes them.
    data_hash : str or None
        `fingerprint` of the run's data; None where they cannot be seen, and are not compared.

    Raises
    ------
    CheckpointError
        If the run is to be resumed and the folder has no checkpoint, or one of other settings
        or other data.
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, settings: Settings, data_hash: str | None = None) -> None:
        self._folder = folder
        self._run_file = folder / RUN_FILE
        described = _with_effect(settings)
        if settings.resume:
            self._check(described, data_hash)
        else:
            self._clear()
            content = described | {DATA_HASH: data_hash}
            write_atomically(self._run_file, json.dumps(content, indent=2))

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

    def _clear(self) -> None:
        remove(self._run_file)  # first: without it, what else is left is no checkpoint
        for path in self._folder.glob("episode-*.npz"):
            remove(path)

    def _check(self, described: Mapping[str, Any], data_hash: str | None) -> None:
        try:
            kept = json.loads(self._run_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(
                f"there is nothing to resume: {self._folder} has no checkpoint. "
                "Start with resume=false, or name the run's folder with out=."
            ) from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self._run_file} cannot be read: {error}.") from error
        kept_hash = kept.pop(DATA_HASH, None) if isinstance(kept, dict) else None
        there, here = _flat(kept), _flat(described)
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                raise CheckpointError(
                    f"the checkpoint in {self._folder} belongs to another run: it has "
                    f"{key}={there.get(key)!r}, the settings say {here.get(key)!r}. "
                    "Resume with the same settings, or start in another folder."
                )
        if kept_hash is not None and data_hash is not None and kept_hash != data_hash:
            raise CheckpointError(
                f"the checkpoint in {self._folder} belongs to other data: what `data` names has "
                "changed since. Resume with the data as they were, or start again with "
                "resume=false."
            )


def can_resume(out: Path, settings: Settings) -> bool:
    """Whether a run's folder has a checkpoint from which these settings can go on.

    It may be of a run that has come to its end; then `results.json` is there too.
    """
    try:
        Checkpoints(out / FOLDER, settings.model_copy(update={"resume": True}))
    except CheckpointError:
        return False
    return True


def fingerprint(panel: Panel) -> str:
    """SHA-256 of everything in a panel, as 64 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([panel.assets, panel.bar]).encode())
    arrays = {"bars": panel.bars.astype("datetime64[s]").astype(np.int64), "close": panel.close}
    arrays |= dict(sorted((panel.ohlv or {}).items()))
    for name, values in arrays.items():
        digest.update(f"{name}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _with_effect(settings: Settings) -> dict[str, Any]:
    values = settings.to_mapping()
    for key in PATIENCE:
        del values["federation"][key]
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
