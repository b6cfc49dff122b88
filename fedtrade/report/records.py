"""Flat records of a benchmark: `case, subject, metric, value, unit`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedtrade.atomic import write_atomically
from fedtrade.report.known_metrics import MISSING
from fedtrade.report.results import Number

__all__ = ["Record", "print_records", "read_records", "write_records"]

Name = Annotated[str, StringConstraints(min_length=1)]


class Record(BaseModel):
    """One measured number; `value` is None where it could not be measured.

    Attributes
    ----------
    case : str
        What was measured.
    subject : str
        Whose number it is: `fedtrade` or the peer that ran beside it.
    metric, unit : str
        Such as `seconds` in `s`; the unit is empty where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: Name
    subject: Name
    metric: Name
    value: Number
    unit: str = ""


def print_records(
    records: Iterable[Record | Mapping[str, Any]], console: Console | None = None
) -> None:
    """Print the records as a table, a case a section.

    Raises
    ------
    ValueError
        If one is not a record.
    """
    checked = _checked(records)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("case", "subject", "metric"):
        table.add_column(name, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for number, record in enumerate(checked):
        ends_case = number + 1 < len(checked) and checked[number + 1].case != record.case
        cells = (record.case, record.subject, record.metric, _number(record.value), record.unit)
        table.add_row(*map(Text, cells), end_section=ends_case)
    (console or Console()).print(table)


def write_records(records: Iterable[Record | Mapping[str, Any]], path: str | Path) -> None:
    """Write the records as a JSON list, whole or not at all.

    Raises
    ------
    ValueError
        If one is not a record; nothing is written.
    OutputError
        If the file cannot be written.
    """
    content = [record.model_dump() for record in _checked(records)]
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_records(path: str | Path) -> tuple[Record, ...]:
    """Read back what `write_records` wrote.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    return tuple(_checked(json.loads(Path(path).read_text(encoding="utf-8"))))


def _checked(records: Iterable[Record | Mapping[str, Any]]) -> Sequence[Record]:
    return [_check(number, record) for number, record in enumerate(records)]


def _check(number: int, record: Record | Mapping[str, Any]) -> Record:
    try:
        return Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"record {number}: {key}={first['input']!r}: {first['msg'].lower()}."
        ) from None


def _number(value: float | None) -> str:
    """Four significant digits, large numbers without an exponent."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
