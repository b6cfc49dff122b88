"""The record of a sweep, `arena.json`, described key by key in `docs/arena.md`.

Numbers are flat: one record a cell and metric. What could not be computed is null; neither NaN nor
infinity is ever stored.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtrade.atomic import write_atomically
from fedtrade.errors import CheckpointError
from fedtrade.report.results import Number
from simulations.arena.cell import rule_label
from simulations.arena.settings import ArenaSettings
from simulations.arena.sweep import SweepOutcome

__all__ = [
    "SCHEMA_VERSION",
    "ArenaRecord",
    "ArenaResults",
    "Failure",
    "Refusal",
    "read_arena",
    "results_of",
    "write_arena",
]

SCHEMA_VERSION = 1


class _Place(BaseModel):
    """Which cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: str
    heterogeneity: str
    rule: str
    attack: str
    share: Annotated[float, Field(ge=0.0, lt=0.5)]
    seed: Annotated[int, Field(ge=0)]
    group_size: Annotated[int, Field(ge=2)] | None = None

    @property
    def label(self) -> str:
        """The rule, with the size of the groups whose means it saw."""
        return rule_label(self.rule, self.group_size)


class ArenaRecord(_Place):
    """One number."""

    metric: str
    value: Number


class Refusal(_Place):
    """A rule that cannot be used with so many liars, in its own words."""

    reason: str


class Failure(_Place):
    """A cell that ended with an error."""

    reason: str


class ArenaResults(BaseModel):
    """One sweep: what was set, and what each cell gave.

    Attributes
    ----------
    headlines : mapping of str to str
        By problem, the metric by which rules are ranked.
    also : mapping of str to tuple of str
        By problem, further metrics whose worst cases are reported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    fedtrade_version: str
    created: str
    settings: dict[str, Any] = {}
    headlines: dict[str, str]
    also: dict[str, tuple[str, ...]] = {}
    records: tuple[ArenaRecord, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    failures: tuple[Failure, ...] = ()


def results_of(settings: ArenaSettings, outcome: SweepOutcome) -> ArenaResults:
    """Gather the cells of a sweep; those that are missing are left out."""
    records, refusals = [], []
    for cell, result in outcome.results:
        place = cell.model_dump(include=set(_Place.model_fields))
        if result.refusal is not None:
            refusals.append(Refusal(**place, reason=result.refusal))
        records += [
            ArenaRecord(**place, metric=metric, value=value)
            for metric, value in result.metrics.items()
        ]
    return ArenaResults(
        fedtrade_version=version("fedtrade"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.to_mapping(),
        headlines={name: definition.headline for name, definition in settings.chosen()},
        also={name: definition.also for name, definition in settings.chosen()},
        records=tuple(records),
        refusals=tuple(refusals),
        failures=tuple(
            Failure(**cell.model_dump(include=set(_Place.model_fields)), reason=reason)
            for cell, reason in outcome.failures
        ),
    )


def write_arena(results: ArenaResults, path: str | Path) -> None:
    """Store a sweep as JSON, replacing the file as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written; an earlier one is left as it was.
    """
    content = results.model_dump(mode="json")
    write_atomically(path, json.dumps(content, allow_nan=False, indent=1) + "\n")


def read_arena(path: str | Path) -> ArenaResults:
    """Read what `write_arena` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, is not JSON, or does not follow the schema.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, Mapping):
            raise ValueError("an object was expected")
        found = content.get("schema_version")
        if found != SCHEMA_VERSION:
            raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {found!r}")
        return ArenaResults.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else str(error).splitlines()[0].rstrip(".")
        )
        raise CheckpointError(
            f"{path} cannot be read ({reason}); give the arena.json of a sweep."
        ) from error
