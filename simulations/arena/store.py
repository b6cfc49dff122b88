"""Finished cells on the disk, one file each, so that a sweep goes on where it stopped.

A file is named by a digest of everything that decides the cell's outcome. Other settings make
other names: they can never be mixed up with what was computed before.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from fedtrade.errors import CheckpointError
from fedtrade.report.atomic import remove, write_atomically
from simulations.arena.cell import Cell, CellResult

__all__ = ["CellStore"]

FOLDER = "cells"
SCHEMA_VERSION = 1


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
            "cell": cell.model_dump(mode="json", by_alias=True),
            "result": result.model_dump(mode="json"),
        }
        write_atomically(self._path(cell), json.dumps(content, allow_nan=False, indent=1) + "\n")

    def load(self, cell: Cell) -> CellResult | None:
        """The result of a finished cell, None if there is none.

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
            return CellResult.model_validate(content["result"])
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
