"""Several runs side by side: what differed between them, and what came of it."""

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedtrade.atomic import write_atomically
from fedtrade.errors import CheckpointError
from fedtrade.report import page
from fedtrade.report.arms import describe_arm, hardest_baseline
from fedtrade.report.comparisons import SUMMED_SCORES, Comparison, compare
from fedtrade.report.console import comparison_cells
from fedtrade.report.gains import gain_scale, gain_unit
from fedtrade.report.known_metrics import MISSING, Column, describe
from fedtrade.report.privacy_cost import CostPanel, CostRun, cost_panels, draw_cost
from fedtrade.report.results import Results, metric, read_results
from fedtrade.report.settings_text import flatten
from fedtrade.tasks.task import FEDERATED

# Differ between any two runs without saying anything about them.
IGNORED_SETTINGS = frozenset({"out", "resume", "progress"})
_COMPARISON_HEAD = ("Gain", "95 % interval", "t", "Better off", "Worst")


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One run: the values of the settings that differ, its score, and its hardest opponent.

    `alone` is the score of the tuned models that participants train alone.
    """

    name: str
    overrides: tuple[tuple[str, str], ...]
    score: float | None
    alone: float | None
    column: Column
    comparison: Comparison | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Runs in order, with the dotted keys of the settings that differ between them.

    `notes` are sentences that a reader must not miss.
    """

    keys: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    notes: tuple[str, ...] = ()


def read_sweep(folder: str | Path) -> Sweep:
    """Gather every `results.json` below a folder, such as that of a Hydra multirun.

    Raises
    ------
    CheckpointError
        If there is none, or one of them is not valid.
    """
    root = Path(folder)
    paths = sorted(root.rglob("results.json"), key=lambda path: _natural(str(path)))
    if not paths:
        raise CheckpointError(
            f"no results.json below {folder}; give the folder of a sweep that has finished runs."
        )
    return gather({_run_name(path, root): read_results(path) for path in paths})


def gather(runs: Mapping[str, Results], *, ignored: Collection[str] = IGNORED_SETTINGS) -> Sweep:
    """Put runs side by side; settings whose last name is in `ignored` are not compared."""
    settings = [flatten(results.settings) for results in runs.values()]
    keys = _differing(settings, ignored)
    rows = [
        _row(name, tuple((key, _shown(values, key)) for key in keys), results)
        for (name, results), values in zip(runs.items(), settings, strict=True)
    ]
    return Sweep(keys, tuple(rows), _notes(runs.values()))


def write_sweep(sweep: Sweep, folder: str | Path) -> tuple[Path, Path]:
    """Write `sweep.csv` and `sweep.html` into a folder and return their paths.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    table, report = Path(folder) / "sweep.csv", Path(folder) / "sweep.html"
    write_atomically(table, sweep_csv(sweep))
    write_atomically(report, sweep_report(sweep))
    return table, report


def sweep_csv(sweep: Sweep) -> str:
    """The sweep as CSV: raw numbers (fractions), empty where a value is missing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    numbers = ("gain", "gain_low", "gain_high", "t", "share_better", "worst_gain")
    writer.writerow(
        ["run", *sweep.keys, "metric", "level", "value", "hardest_baseline", *numbers, "verdict"]
    )
    for row in sweep.rows:
        c = row.comparison
        gains = (c.gain, c.low, c.high, c.t, c.share_better, c.worst_gain) if c else (None,) * 6
        score = (row.column.metric.name, row.column.level, row.score)
        against = c.against if c else None
        writer.writerow([row.name, *_values(row), *score, against, *gains, row.verdict])
    return buffer.getvalue()


def write_cost(sweep: Sweep, path: str | Path) -> None:
    """Write what privacy costs as a PNG, for the first score of the sweep.

    Raises
    ------
    ValueError
        If privacy does not differ between the runs.
    OutputError
        If the file cannot be written.
    """
    from fedtrade.report.theme import to_png

    shown = _cost_panels(sweep.rows)
    if not shown:
        raise ValueError("a picture of what privacy costs needs runs with and without it")
    panels = shown[0]
    png = to_png(lambda figure: draw_cost(figure, panels), width=11.0, height=3.8, dpi=130)
    write_atomically(path, png)


def print_sweep(sweep: Sweep, console: Console | None = None) -> None:
    """Print the sweep as a table: one run a row."""
    console = console or Console()
    table = Table(
        title=Text(_title(sweep), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for title in ("run", *map(_short_key, sweep.keys)):
        table.add_column(Text(title), overflow="fold", min_width=min(len(title), 12))
    # The interval does not fit a terminal; it is in the files.
    interval = _COMPARISON_HEAD.index("95 % interval") - len(_COMPARISON_HEAD)
    for title in _without(("federated", "against", *_COMPARISON_HEAD), interval):
        table.add_column(Text(title.lower()), justify="right", no_wrap=True)
    for row in sweep.rows:
        table.add_row(*(Text(cell) for cell in _without(_cells(row), interval)))
    console.print(table)
    for note in sweep.notes:
        console.print(Text(note))


def sweep_report(sweep: Sweep) -> str:
    """The sweep as a self-contained HTML page: a plot of the gains and the table."""
    html = [page.element("div", "fedtrade sweep", "kicker"), page.element("h1", _title(sweep))]
    figures = _gains_figures(sweep.rows)
    if figures:
        html += [page.element("h2", "Gain in each run"), *figures]
    html += _cost_section(sweep.rows)
    rows = [_html_row(row) for row in sweep.rows]
    n_text = 1 + len(sweep.keys)
    head = ["Run", *map(_short_key, sweep.keys), "Federated", "Against", *_COMPARISON_HEAD]
    html += [page.element("h2", "Runs"), page.table(head, rows, range(1, n_text))]
    html += [page.element("p", page.typographic(note)) for note in sweep.notes]
    html += [page.element("h2", "Verdicts")]
    html += [page.definitions((_label(row), page.typographic(row.verdict)) for row in sweep.rows)]
    return page.page("fedtrade: sweep", html)


def _gains_figures(rows: Sequence[SweepRow]) -> list[str]:
    """A figure for each unit of the gains, most often one."""
    by_unit: dict[tuple[str, float], list[tuple[SweepRow, Comparison]]] = {}
    for row in rows:
        if row.comparison is not None and row.comparison.gain is not None:
            headline = row.comparison.headline
            unit = gain_unit(headline), gain_scale(headline)
            by_unit.setdefault(unit, []).append((row, row.comparison))
    return [_gains_figure(drawn, f"sweep{n}") for n, drawn in enumerate(by_unit.values())]


def _gains_figure(rows: Sequence[tuple[SweepRow, Comparison]], name: str) -> str:
    from fedtrade.report.arms import arm_colour
    from fedtrade.report.plots import draw_intervals
    from fedtrade.report.theme import to_svg

    # Intervals are drawn from the bottom up; the first run belongs on top.
    drawn = rows[::-1]
    svg = to_svg(
        lambda figure: draw_intervals(
            figure.add_subplot(),
            [_label(row) for row, _ in drawn],
            [comparison for _, comparison in drawn],
            [arm_colour(FEDERATED).light] * len(drawn),
        ),
        width=9.4,
        height=1.0 + 0.36 * len(drawn),
        name=name,
    )
    return page.figure(
        svg,
        "Gain of federated training over the hardest baseline of each run, with its 95 % "
        "interval; a hollow dot means that the interval contains zero.",
        "Gain in each run of the sweep",
    )


def _cost_section(rows: Sequence[SweepRow]) -> list[str]:
    figures = [_cost_figure(shown, f"cost{n}") for n, shown in enumerate(_cost_panels(rows))]
    return [page.element("h2", "What privacy costs"), *figures] if figures else []


def _cost_panels(rows: Sequence[SweepRow]) -> list[list[CostPanel]]:
    """Of each score, most often one, where privacy differs between runs."""
    by_score: dict[Column, list[CostRun]] = {}
    for row in rows:
        run = CostRun(dict(row.overrides), row.score, row.alone, row.column)
        by_score.setdefault(row.column, []).append(run)
    return [panels for runs in by_score.values() if (panels := cost_panels(runs))]


def _cost_figure(panels: Sequence[CostPanel], name: str) -> str:
    from fedtrade.report.theme import to_svg

    svg = to_svg(lambda figure: draw_cost(figure, panels), width=9.4, height=3.4, name=name)
    return page.figure(
        svg,
        "The federated model's score against epsilon, of one model or of the whole run as its "
        "settings say. Dots are runs, lines go through their means.",
        "Score against epsilon",
    )


def _row(name: str, overrides: tuple[tuple[str, str], ...], results: Results) -> SweepRow:
    headline = results.headline
    hardest = hardest_baseline(results)
    return SweepRow(
        name=name,
        overrides=overrides,
        score=metric(results, FEDERATED, headline.metric, headline.level),
        alone=metric(results, "local_tuned", headline.metric, headline.level),
        column=Column(describe(headline.metric, headline), headline.level),
        comparison=compare(results, hardest) if hardest else None,
        verdict=results.verdict,
    )


def _notes(runs: Collection[Results]) -> tuple[str, ...]:
    """What holds for several runs together."""
    return (*_summed_notes(runs), *_trial_notes(runs))


def _summed_notes(runs: Collection[Results]) -> tuple[str, ...]:
    """Why nobody can be said to be better off, where scores were only seen summed."""
    n_summed = sum(results.is_summed for results in runs)
    if not n_summed:
        return ()
    which = "every run" if n_summed == len(runs) else f"{n_summed} of {len(runs)} runs"
    return (f"In {which} columns are empty: {SUMMED_SCORES[0].lower()}{SUMMED_SCORES[1:]}",)


def _trial_notes(runs: Collection[Results]) -> tuple[str, ...]:
    """How to read what each run of the trading signal deflated by its own trials alone."""
    n_runs = sum(results.task == "signal" for results in runs)
    if n_runs < 2:
        return ()
    return (
        "The deflated Sharpe ratio (DSR) of each run knows only the strategies tried in that run: "
        f"read it against all that were tried here, {n_runs} (runs) times task.n_trials.",
    )


def _without(cells: tuple[str, ...], position: int) -> tuple[str, ...]:
    """All cells but one, counted from the end."""
    return cells[:position] + cells[position + 1 :]


def _values(row: SweepRow) -> tuple[str, ...]:
    return tuple(value for _, value in row.overrides)


def _cells(row: SweepRow) -> tuple[str, ...]:
    c = row.comparison
    gains = comparison_cells(c) if c else ()
    if c and c.is_summed:
        gains = gains[:-1]  # the share of cases is no share of participants
    gains += (MISSING,) * (len(_COMPARISON_HEAD) - len(gains))
    score = row.column.text(row.score)
    if row.score is not None:
        score = f"{score} {row.column.metric.unit}".rstrip()
    against = describe_arm(c.against).title if c else MISSING
    return (row.name, *_values(row), score, against, *gains)


def _html_row(row: SweepRow) -> str:
    name, *cells = map(page.typographic, _cells(row))
    n_text = len(row.overrides)
    content = "".join(
        page.element("td", cell, "text" if number < n_text else "")
        for number, cell in enumerate(cells)
    )
    return f"<tr>{page.element('th', name)}{content}</tr>"


def _differing(settings: Sequence[Mapping[str, Any]], ignored: Collection[str]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for values in settings for key in values)
    return tuple(
        key
        for key in keys
        if key.rsplit(".", 1)[-1] not in ignored
        and len({_shown(values, key) for values in settings}) > 1
    )


def _shown(values: Mapping[str, Any], key: str) -> str:
    """A setting as text; empty where the run does not have it."""
    if key not in values:
        return ""
    value = values[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _title(sweep: Sweep) -> str:
    n_runs = len(sweep.rows)
    return f"{n_runs:,} run{'s' if n_runs != 1 else ''}, {len(sweep.keys):,} settings varied"


def _label(row: SweepRow, length: int = 52) -> str:
    label = ", ".join(f"{_short_key(k)}={v}" for k, v in row.overrides) or row.name
    return label if len(label) <= length else f"{label[: length - 1]}…"


def _short_key(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _run_name(path: Path, root: Path) -> str:
    return path.parent.relative_to(root).as_posix()


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts job 10 after job 9."""
    return [(int(part or 0), text) for part, text in re.findall(r"(\d*)(\D*)", text)]
