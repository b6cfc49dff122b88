"""Live progress of a run, and its results as a table, in the terminal."""

import math
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

from fedtrade.report.arms import describe_arm, hardest_baseline
from fedtrade.report.comparisons import Comparison, comparisons
from fedtrade.report.gains import gain_text, interval_text
from fedtrade.report.known_metrics import (
    MISSING,
    Column,
    best_arm,
    number_text,
    percent_text,
    summary_columns,
)
from fedtrade.report.privacy import Privacy, by_party, parameter_text, promises, traffic_text
from fedtrade.report.results import Results
from fedtrade.tasks.task import FEDERATED

MAX_WIDTH = 100
Mode = Literal["auto", "plain", "none"]


class Progress:
    """Shows how far a run has come; use it as a context manager.

    A terminal gets one live bar; anything else (a file, a pipe, CI) gets one plain line an
    episode.

    Parameters
    ----------
    n_episodes, n_rounds
        Episodes of the run, and rounds of each; the bar counts their product.
    mode
        `plain` prints the plain lines in a terminal too, `none` prints nothing.
    console
        Where to print; standard error by default, so that standard output stays clean.
    """

    def __init__(
        self,
        n_episodes: int,
        n_rounds: int,
        *,
        mode: Mode = "auto",
        console: Console | None = None,
    ) -> None:
        self._n_episodes = n_episodes
        self._n_rounds = n_rounds
        self._console = console or Console(stderr=True)
        self._is_silent = mode == "none"
        is_live = mode == "auto" and self._console.is_terminal
        self._is_plain = not (is_live or self._is_silent)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=not is_live,
            transient=True,
        )
        total = n_episodes * n_rounds
        self._task = self._bars.add_task("starting", total=total or None, detail="")
        self._episode: int | None = None
        self._episode_start = 0.0
        self._n_participants = 0
        self._n_failures = 0
        self._last_detail = "no rounds"

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._close_episode()
        self._bars.stop()

    def episode_started(self, episode: int, *, n_participants: int, label: str = "") -> None:
        """Begin an episode (counted from 0); `label` says which, such as its first test day."""
        self._close_episode()
        self._episode = episode
        self._episode_start = time.monotonic()
        self._n_participants = n_participants
        self._n_failures = 0
        self._last_detail = "no rounds"
        name = f"episode {episode + 1}/{self._n_episodes}"
        shown = f"{name} {escape(label)}" if label else name
        # An episode that stopped early still counts as done.
        self._bars.update(
            self._task,
            completed=episode * self._n_rounds,
            description=shown,
            detail=f"{n_participants} participants",
        )

    def round_finished(
        self, round_number: int, *, n_replies: int, n_failures: int = 0, loss: float | None = None
    ) -> None:
        """Report a round (counted from 1) of the current episode."""
        self._n_failures += n_failures
        shown_loss = MISSING if loss is None or math.isnan(loss) else f"{loss:.4g}"
        replies = f"{n_replies} of {self._n_participants} replied"
        rounds = f"{round_number} round{'' if round_number == 1 else 's'}"
        self._last_detail = f"{rounds}, {replies}, loss {shown_loss}"
        failures = f", {self._n_failures} failed" if self._n_failures else ""
        self._bars.update(
            self._task,
            completed=(self._episode or 0) * self._n_rounds + round_number,
            detail=f"round {round_number}, {replies}{failures}, loss {shown_loss}",
        )

    def stage(self, name: str) -> None:
        """Say what is being done between rounds, such as `fitting GJR-GARCH`; live bar only."""
        self._bars.update(self._task, detail=escape(name))

    def finished(self, message: str = "") -> None:
        """Close the last episode, take the bar away, and print a message if there is one."""
        self._close_episode()
        self._bars.update(self._task, completed=self._n_episodes * self._n_rounds)
        self._bars.stop()
        if message and not self._is_silent:
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _close_episode(self) -> None:
        if self._episode is not None and self._is_plain:
            seconds = time.monotonic() - self._episode_start
            failures = f", {self._n_failures} failed" if self._n_failures else ""
            self._console.print(
                f"episode {self._episode + 1}/{self._n_episodes}: "
                f"{self._last_detail}{failures}, {seconds:.1f} s",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        self._episode = None


def print_results(results: Results, console: Console | None = None) -> None:
    """Print the arms as tables (at most 100 columns wide), the notes, and the verdict."""
    console = console or Console()
    if results.arms:
        console.print(_arms_table(results, min(console.width, MAX_WIDTH)))
    found = comparisons(results)
    if found:
        console.print(_comparisons_table(results, found))
    if results.privacy is not None:
        console.print(_privacy_table(results.privacy))
        for promise in promises(results.privacy):
            console.print(Text(f"Promise: {promise}"))
    for note in results.notes:
        console.print(Text(f"Note: {note}", style="yellow"))
    console.print(Text(results.verdict, style="bold"))


def _arms_table(results: Results, width: int) -> Table:
    columns = _fitting(results, width)
    table = _table("Scores out of time, all participants", "the best of a column is marked *")
    table.add_column("arm", no_wrap=True)
    for column in columns:
        table.add_column(Text("\n".join(_head(column))), justify="right", no_wrap=True)
    best = [best_arm(results, column) for column in columns]
    for arm in results.arms:
        cells = [
            _score(results, arm, column, is_best=arm == winner)
            for column, winner in zip(columns, best, strict=True)
        ]
        if any(cell.plain.strip() != MISSING for cell in cells):
            table.add_row(_arm_name(arm), *cells)
    return table


def _comparisons_table(results: Results, found: tuple[Comparison, ...]) -> Table:
    hardest = hardest_baseline(results)
    mark = "hardest baseline marked <"
    table = _table("Federated against each arm, positive = federated better", mark)
    table.add_column("against", no_wrap=True)
    headline = results.headline
    # A long unit has its place in the head, or the table is too wide.
    unit = "" if headline.relative or not headline.unit else f"\n[{headline.unit}]"
    last = ("cases better",) if results.is_summed else ("better off", f"worst{unit}")
    for title in (f"gain{unit}", f"95 % interval{unit}", "t", *last):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for comparison in found:
        name = _arm_name(comparison.against)
        if comparison.against == hardest:
            name.append(" <", style="bold")
        table.add_row(name, *comparison_cells(comparison, has_unit=not unit))
    return table


def _privacy_table(privacy: Privacy) -> Table:
    numbers = ", ".join(f"{each.name} {parameter_text(each.value)}" for each in privacy.parameters)
    rests_on = f"It rests on {numbers}." if numbers else ""
    said = (traffic_text(privacy), rests_on, "Who could learn more is in the report.")
    caption = " ".join(filter(None, said))
    table = _table(f"Who learns what (trust mode {privacy.mode})", caption)
    table.add_column("who", no_wrap=True)
    table.add_column("learns", overflow="fold", max_width=MAX_WIDTH - 20)
    shown = ""
    for party, what in ((each.party, each.what) for each in by_party(privacy)):
        table.add_row("" if party == shown else Text(party), Text(what))
        shown = party
    return table


def comparison_cells(comparison: Comparison, *, has_unit: bool = True) -> tuple[str, ...]:
    """Gain, interval, t, share better off and worst gain, as text.

    Where scores were only seen summed, the share of cases better stands for the last two.
    """
    headline, low, high = comparison.headline, comparison.low, comparison.high
    overall = (
        gain_text(headline, comparison.gain, has_unit=has_unit),
        interval_text(headline, low, high, has_unit=has_unit),
        MISSING if comparison.t is None else number_text(comparison.t, 1, is_signed=True),
    )
    if comparison.is_summed:
        return (*overall, percent_text(comparison.share_of_episodes_better, 0))
    return (
        *overall,
        percent_text(comparison.share_better, 0),
        gain_text(headline, comparison.worst_gain, has_unit=has_unit),
    )


def comparison_head(results: Results) -> tuple[str, ...]:
    """Titles of the cells."""
    last = ("Cases better",) if results.is_summed else ("Better off", "Worst participant")
    return ("Gain", "95 % interval", "t", *last)


def _score(results: Results, arm: str, column: Column, *, is_best: bool) -> Text:
    value = results.index.get((arm, column.metric.name, column.level, "all"))
    # The mark is a character too: colour alone is lost in a file.
    text = column.text(value) + ("*" if is_best else " ")
    return Text(text, style="bold green" if is_best else "")


def _arm_name(arm: str) -> Text:
    return Text(describe_arm(arm).title, style="bold" if arm == FEDERATED else "")


def _table(title: str, caption: str) -> Table:
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=Text(caption, style="dim"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _fitting(results: Results, width: int) -> tuple[Column, ...]:
    """The columns that fit beside the arm's name, those at the headline's level first of all."""
    columns = summary_columns(results)
    level = results.headline.level
    margins, gap = 2, 3
    left = width - margins - max(len(describe_arm(arm).title) for arm in results.arms)
    chosen = set()
    for column in sorted(columns, key=lambda column: column.level not in (level, None)):
        left -= gap + _width(results, column)
        if left < 0:
            break
        chosen.add(column.title)
    return tuple(column for column in columns if column.title in chosen)


def _width(results: Results, column: Column) -> int:
    """Characters of the widest cell or line of the head."""
    cells = (_score(results, arm, column, is_best=True).plain for arm in results.arms)
    return max(map(len, (*_head(column), *cells)))


def _head(column: Column) -> tuple[str, ...]:
    unit = f"[{column.metric.unit}]" if column.metric.unit else ""
    return tuple(line for line in (column.metric.title, column.level_text, unit) if line)
