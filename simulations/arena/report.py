"""The report of a sweep: one self-contained HTML page, made to be read top-down."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedtrade.atomic import write_atomically
from fedtrade.report import page
from fedtrade.report.page import typographic
from fedtrade.report.theme import to_svg
from simulations.arena.plots import (
    draw_heat_map,
    draw_worst_by_share,
    heat_map_height,
    heat_map_title,
)
from simulations.arena.results import ArenaResults
from simulations.arena.standings import Standings, standings
from simulations.arena.wording import (
    EXPLANATIONS,
    case_text,
    interval_text,
    metric_title,
    number_text,
    share_text,
    value_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["arena_report", "write_arena_report"]

_WIDTH = 9.4  # inches; the page scales it to its own width
_MAX_LISTED = 60


def write_arena_report(results: ArenaResults, path: str | Path) -> None:
    """Write the report of a sweep; an earlier file is replaced as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_atomically(path, arena_report(results))


def arena_report(results: ArenaResults) -> str:
    """The report of a sweep as an HTML document."""
    found = standings(results)
    html = [*_head(results, found)]
    for part in found:
        html += _standing(results, part)
    html += [*_refusals(results), *_failures(results), *_reading(results)]
    return page.page("fedtrade: arena", html)


def _head(results: ArenaResults, found: Sequence[Standings]) -> Iterator[str]:
    yield page.element("div", "fedtrade arena", "kicker")
    yield page.element("h1", "Which rule withstands which attack")
    for part in found:
        yield page.element("p", typographic(_verdict(part)), "verdict")
    if not found:
        yield page.element("p", "No cell is finished yet.", "verdict")
    if results.failures:
        text = f"{len(results.failures):,} cells failed; they are listed below and left out."
        yield page.element("p", text, "note")


def _verdict(found: Standings) -> str:
    """Which rule has the best worst case, and how plain averaging fares."""
    best = found.ranking[0]
    worst = found.worst(best)
    where = f"{found.problem}, {found.heterogeneity}"
    if worst is None:
        return f"{where}: no rule was attacked."
    title = metric_title(found.metric).lower()
    text = (
        f"{where}: {best} has the best worst case, {title} {value_text(worst.value)} % "
        f"({case_text(worst)})."
    )
    plain = found.worst("mean") if "mean" in found.rules and best != "mean" else None
    if plain is not None:
        text += f" Plain averaging: {value_text(plain.value)} % ({case_text(plain)})."
    return text


def _standing(results: ArenaResults, found: Standings) -> Iterator[str]:
    yield page.element("h2", f"{found.problem}, {found.heterogeneity}")
    explanation = EXPLANATIONS.get(found.metric)
    if explanation:
        text = f"{metric_title(found.metric)}, in per cent: {explanation}."
        yield page.element("p", text, "muted")
    yield _worst_cases(results, found)
    shares = [share for share in found.shares if any(found.of(r, share) for r in found.rules)]
    for share in shares:
        yield page.figure(
            _svg(
                partial(_draw_one, share=share, found=found),
                heat_map_height(found),
                f"heat-{found.problem}-{found.heterogeneity}-{100 * share:g}",
            ),
            f"{heat_map_title(found, share)}. The best worst case on top; mean over seeds.",
            heat_map_title(found, share),
        )
    if len(shares) > 1:
        yield page.figure(
            _svg(
                lambda figure: draw_worst_by_share(figure.add_subplot(), found),
                3.6,
                f"shares-{found.problem}-{found.heterogeneity}",
            ),
            "The worst case over all attacks, by the share of liars.",
            f"Worst {found.metric} by share of liars",
        )
    for metric in results.also.get(found.problem, ()):
        for further in standings(results, {found.problem: metric}):
            if further.heterogeneity == found.heterogeneity:
                yield page.element("h3", metric_title(metric))
                if metric in EXPLANATIONS:
                    text = EXPLANATIONS[metric]
                    yield page.element("p", f"{text[:1].upper()}{text[1:]}.", "muted")
                yield _worst_cases(results, further)


def _draw_one(figure: "Figure", found: Standings, share: float) -> None:
    draw_heat_map(figure.add_subplot(), found, share)


def _svg(draw: "partial[None] | object", height: float, name: str) -> str:
    return to_svg(draw, width=_WIDTH, height=height, name=name)  # type: ignore[arg-type]


def _worst_cases(results: ArenaResults, found: Standings) -> str:
    """One rule a row: without an attack, the mean over attacks, and the worst case by name.

    Of a metric with an interval, and with a value for a federation without the liars, these stand
    beside it, in the same case.
    """
    shares = [share for share in found.shares if any(found.of(r, share) for r in found.rules)]
    by_share = shares if len(shares) > 1 else []
    low, high, lost = (
        _beside(results, found, name)
        for name in (f"{found.metric}_low", f"{found.metric}_high", f"lost_{found.metric}")
    )
    rows = []
    for number, rule in enumerate(found.ranking):
        worst = found.worst(rule)
        case = (rule, worst.attack, worst.share) if worst else None
        cells = [
            value_text(found.honest(rule)),
            number_text(found.mean(rule)),
            value_text(worst.value if worst else None),
            *([interval_text(low.get(case), high.get(case))] if low else []),
            number_text(worst.value.lowest if worst else None),
            *([number_text(lost.get(case))] if lost else []),
        ]
        html = "".join(page.element("td", typographic(cell)) for cell in cells)
        html += page.element("td", typographic(case_text(worst)), "text")
        for share in by_share:
            at_share = found.worst(rule, share)
            refused = share in found.refused.get(rule, ())
            text = "refuses" if refused else number_text(at_share.value.mean if at_share else None)
            html += page.element("td", typographic(text))
        css_class = ' class="ours"' if number == 0 else ""
        rows.append(f'<tr{css_class}><th scope="row">{page.element("span", rule)}</th>{html}</tr>')
    head = ["Rule", "No attack", "Mean", "Worst"]
    head += ["95 %\ninterval"] if low else []
    head += ["Lowest\nseed", *(["Liars\nabsent"] if lost else []), "Worst case"]
    n_before = len(head)
    head += [f"Worst\n{share_text(share)}" for share in by_share]
    return page.table(head, rows, text_columns=[n_before - 1])


def _beside(
    results: ArenaResults, found: Standings, metric: str
) -> Mapping[tuple[str, str, float] | None, float | None]:
    """Means over seeds of another metric, by case; empty where it was not measured."""
    return {
        case: value.mean
        for other in standings(results, {found.problem: metric})
        if other.heterogeneity == found.heterogeneity and other.metric == metric
        for case, value in other.cases.items()
    }


def _refusals(results: ArenaResults) -> Iterator[str]:
    found = dict.fromkeys((r.problem, r.label, r.share, r.reason) for r in results.refusals)
    if not found:
        return
    yield page.element("h2", "Where a rule cannot be used")
    rows = [
        f'<tr><th scope="row">{page.element("span", rule)}</th>'
        f"{page.element('td', problem)}{page.element('td', typographic(share_text(share)))}"
        f"{page.element('td', reason, 'text')}</tr>"
        for problem, rule, share, reason in list(found)[:_MAX_LISTED]
    ]
    yield page.table(["Rule", "Problem", "Liars", "Reason"], rows, text_columns=[3])


def _failures(results: ArenaResults) -> Iterator[str]:
    if not results.failures:
        return
    yield page.element("h2", "Cells that failed")
    rows = [
        f'<tr><th scope="row">{page.element("span", f.label)}</th>'
        f"{page.element('td', f.attack)}{page.element('td', f'{f.problem}, {f.heterogeneity}')}"
        f"{page.element('td', typographic(share_text(f.share)))}{page.element('td', str(f.seed))}"
        f"{page.element('td', f.reason, 'text')}</tr>"
        for f in results.failures[:_MAX_LISTED]
    ]
    yield page.table(["Rule", "Attack", "Problem", "Liars", "Seed", "Reason"], rows, [5])


def _reading(results: ArenaResults) -> Iterator[str]:
    yield page.element("h2", "How to read this")
    yield page.definitions(
        {
            "No attack": "the rule's value when everybody is honest but the rule expects liars",
            "Mean": "over all attacks and shares of liars",
            "Worst": "the attack and share at which the mean over seeds is least; ± is the "
            "standard deviation over seeds, which decide who lies and everything that is drawn",
            "Lowest seed": "the least value of a single seed in that case",
            "95 % interval": "of a seed's value in that case, mean of the ends over seeds: block "
            "bootstrap over bars, paired, as all losses are of the same bars",
            "Liars absent": "the value if the liars were simply not there",
            "Refuses": "the rule cannot be used with so many liars, by its own bound",
        }
    )
    text = json.dumps(results.settings, indent=2, ensure_ascii=False)
    yield page.details("All settings of this sweep", page.element("pre", text))
    made = f"fedtrade {results.fedtrade_version}, {results.created}."
    yield page.element("footer", f"{made} The numbers are in arena.json beside this file.")
