"""Finished cells on the disk, one file each, so that a sweep goes on where it stopped.

A file is named by a digest of everything that decides the cell's outcome. Other settings make
other names: they can never be mixed up with what was computed before. It also holds a digest of
the code that computes: a cell of another version is as good as missing.
"""

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import ValidationError

from fedtrade.atomic import remove, write_atomically
from fedtrade.errors import CheckpointError
from simulations.arena.cell import Cell, CellResult

__all__ = ["CellStore", "code_digest"]

FOLDER = "cells"
SCHEMA_VERSION = 1
_CODE = (
    "fedtrade.robust",
    "fedtrade.tasks",
    "fedtrade.models",
    "fedtrade.features",
    "fedtrade.baselines",
    "fedtrade.secure.masked",  # draws groups
    "strategies",
    "strategies.trust",
    "simulations.attacks",
)
_CODE_OF_ARENA = ("cell.py", "client.py", "digits.py", "problem.py", "tail_risk.py")
"""The other files of the arena plan and report, and change no outcome."""


class CellStore:
    """The cells of one output folder.

    Parameters
    ----------
    out : Path
        They go to its subfolder `cells`.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def save(self, cell: Cell, result: CellResult) -> None:
        """Store a finished cell, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            "code": code_digest(),
            "cell": cell.model_dump(mode="json", by_alias=True),
            "result": result.model_dump(mode="json"),
        }
        write_atomically(self._path(cell), json.dumps(content, allow_nan=False, indent=1) + "\n")

    def load(self, cell: Cell) -> CellResult | None:
        """The result of a finished cell, None if there is none of this version.

        Raises
        ------
        CheckpointError
            If its file cannot be read or holds something else.
        """
        path = self._path(cell)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["cell"] != cell.model_dump(mode="json", by_alias=True):
                raise ValueError("it is another cell's")
            result = CellResult.model_validate(content["result"])
            return result if content["code"] == code_digest() else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it was changed"
            raise CheckpointError(
                f"{path} cannot be used ({reason}): remove it, and its cell is computed again."
            ) from error

    def clear(self) -> None:
        """Remove all finished cells.

        Raises
        ------
        OutputError
            If one cannot be removed.
        """
        for path in self.folder.glob("*.json"):
            remove(path)

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.key}.json"


@cache
def code_digest() -> str:
    """Of the code that decides what a cell gives, apart from that of other packages."""
    found = hashlib.sha256()
    paths = [path for package in _CODE for path in files(package).iterdir()]
    paths += [files("simulations.arena") / name for name in _CODE_OF_ARENA]
    for path in sorted(filter(_is_code, paths), key=str):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:24]


def _is_code(path: Traversable) -> bool:
    return path.name.endswith(".py")
