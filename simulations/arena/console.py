"""The arena in the terminal: live progress, and the standings as tables."""

import time
from types import TracebackType
from typing import Literal, Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from simulations.arena.results import ArenaResults
from simulations.arena.standings import Standings, standings
from simulations.arena.sweep import Finished
from simulations.arena.wording import (
    case_text,
    metric_title,
    number_text,
    share_text,
    value_text,
)

__all__ = ["CellProgress", "print_arena"]


class CellProgress:
    """Shows how far a sweep has come; use it as a context manager.

    A terminal gets one live bar; anything else gets one plain line a cell.

    Parameters
    ----------
    n_cells : int
    mode : {"auto", "plain", "none"}
        `plain` prints the plain lines in a terminal too, `none` prints nothing.
    console : Console or None
        Where to print; standard error by default.
    """

    def __init__(
        self,
        n_cells: int,
        *,
        mode: Literal["auto", "plain", "none"] = "auto",
        console: Console | None = None,
    ) -> None:
        self._console = console or Console(stderr=True)
        is_live = mode == "auto" and self._console.is_terminal
        self._is_plain = not is_live and mode != "none"
        self._n_cells = n_cells
        self._n_done = 0
        self._n_found = 0
        self._started = time.monotonic()
        self._bars = Bars(
            TextColumn("cells"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=not is_live,
            transient=True,
        )
        self._task = self._bars.add_task("cells", total=n_cells, detail="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def finished(self, done: Finished) -> None:
        """Report a cell, found on the disk or new."""
        self._n_done += 1
        self._n_found += not done.is_new
        detail = escape(done.cell.title) if done.is_new else f"{self._n_found} found"
        self._bars.update(self._task, completed=self._n_done, detail=detail)
        if self._is_plain and done.is_new:
            outcome = "refused" if done.result.refusal else f"{done.result.seconds:.1f} s"
            self._console.print(
                f"{self._n_done}/{self._n_cells} {done.cell.title}: {outcome}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def print_arena(results: ArenaResults, console: Console | None = None) -> None:
    """Print the standings of each problem at each level, and what failed."""
    console = console or Console()
    for found in standings(results):
        console.print(_table(found))
    for metrics in _further(results):
        for found in standings(results, metrics):
            console.print(_table(found, is_short=True))
    for failure in results.failures:
        text = f"failed: {failure.label} against {failure.attack} ({failure.problem}, "
        text += f"{share_text(failure.share)}, seed {failure.seed}): {failure.reason}"
        console.print(Text(text, style="red"))


def _further(results: ArenaResults) -> list[dict[str, str]]:
    """Further metrics, one of each problem at a time."""
    return [{problem: metric} for problem, metrics in results.also.items() for metric in metrics]


def _table(found: Standings, *, is_short: bool = False) -> Table:
    shares = [share for share in found.shares if share]
    table = Table(
        title=Text(
            f"{metric_title(found.metric)} in %: {found.problem}, {found.heterogeneity}",
            style="bold",
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("rule", no_wrap=True)
    for title in ("no attack", "mean", "worst"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("worst case", overflow="fold")
    by_share = [] if is_short or len(shares) < 2 else shares
    for share in by_share:
        table.add_column(f"worst {share_text(share)}", justify="right", no_wrap=True)
    for rule in found.ranking:
        worst = found.worst(rule)
        cells = [
            rule,
            value_text(found.honest(rule)),
            number_text(found.mean(rule)),
            value_text(worst.value if worst else None),
            case_text(worst),
        ]
        for share in by_share:
            at_share = found.worst(rule, share)
            refused = share in found.refused.get(rule, ())
            cells.append(
                "refuses" if refused else number_text(at_share.value.mean if at_share else None)
            )
        table.add_row(*map(Text, cells))
    return table
