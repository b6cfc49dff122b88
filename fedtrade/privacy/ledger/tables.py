"""Standings and histories as tables in the terminal."""

import json
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedtrade.privacy.ledger.budget import date_text
from fedtrade.privacy.ledger.history import Entry
from fedtrade.privacy.ledger.standing import Standing

__all__ = ["history_table", "print_table", "status_table"]

_METER: Final = 16
_WARNING: Final = 0.75
"""Share of a budget from which on the meter is yellow; red is what is all spent."""
_NONE: Final = "-"
_DATE: Final = len("2026-12-31")


def status_table(standings: Iterable[Standing]) -> Table:
    """How accounts stand, a line each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("account", overflow="fold")
    for head in ("spent", "of", "delta", "left"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", width=_METER)
    table.add_column("until", no_wrap=True)
    for standing in standings:
        table.add_row(*_cells(standing))
    return table


def history_table(entries: Iterable[Entry]) -> Table:
    """What happened, a line each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("number", justify="right", no_wrap=True)
    for head in ("time", "account", "what", "of", "detail"):
        table.add_column(head, overflow="fold")
    for entry in entries:
        table.add_row(
            str(entry.number),
            date_text(entry.time),
            Text(str(entry.account)),
            entry.action,
            "" if entry.operation is None else str(entry.operation),
            Text(_detail(entry.detail)),
        )
    return table


def print_table(table: Table, console: Console | None = None) -> None:
    """Print it on standard output, or a console."""
    (console or Console()).print(table)


def _cells(standing: Standing) -> list[RenderableType]:
    budget = standing.budget
    has_end = standing.window.end < inf
    return [
        Text(str(standing.account)),
        f"{standing.spent:.3g}",
        _NONE if budget is None else f"{budget.epsilon:g}",
        f"{standing.delta:g}",
        _NONE if budget is None else f"{standing.remaining:.3g}",
        "" if budget is None else _meter(standing.spent, budget.epsilon),
        date_text(standing.window.end)[:_DATE] if has_end else _NONE,
    ]


def _meter(spent: float, epsilon: float) -> ProgressBar:
    share = min(1.0, spent / epsilon)
    colour = "green" if share < _WARNING else "yellow" if share < 1.0 else "red"
    return ProgressBar(
        total=1.0, completed=share, width=_METER, complete_style=colour, finished_style=colour
    )


def _detail(detail: Mapping[str, Any]) -> str:
    """The values of a budget, or what was allocated for what."""
    if "events" not in detail:
        return _pairs(detail)
    events = [_event(text, count) for text, count in detail["events"].items()]
    return ", ".join([*events, _pairs(detail["purpose"])]).strip(", ")


def _event(text: str, count: int) -> str:
    values = json.loads(text)
    del values["count"]
    kind = values.pop("kind")
    return f"{count} x {kind}({_pairs(values, ', ')})"


def _pairs(values: Mapping[str, Any], between: str = " ") -> str:
    given = {key: value for key, value in values.items() if value is not None}
    return between.join(f"{key}={_short(value)}" for key, value in given.items())


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
