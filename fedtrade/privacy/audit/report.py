"""An audit as a table in the terminal, as JSON, and as a page with the curve of the attack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedtrade.atomic import write_atomically
from fedtrade.privacy.audit.audit import Audit, Bound
from fedtrade.report import page
from fedtrade.report.theme import MUTED, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SCHEMA", "print_audit", "to_record", "write_audit"]

SCHEMA = 1


def to_record(found: Audit) -> dict[str, Any]:
    """Plain values."""
    return {
        "schema": SCHEMA,
        "task": found.task,
        "delta": found.delta,
        "confidence": found.confidence,
        "reachable": found.reachable,
        "passed": found.passed,
        "bounds": [_bound(bound) for bound in (found.own, *found.controls)],
        "membership": {
            name: {
                "auc": curve.auc,
                "tpr_at_1_percent": curve.tpr_at_1,
                "false_positives": curve.false_positives.round(6).tolist(),
                "true_positives": curve.true_positives.round(6).tolist(),
            }
            for name, curve in (("private", found.private), ("exact", found.exact))
        },
        "inversion": [case._asdict() for case in found.inversions],
    }


def write_audit(found: Audit, out: Path) -> None:
    """Write `audit.json` and `audit.html`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_atomically(out / "audit.json", json.dumps(to_record(found), indent=1))
    write_atomically(out / "audit.html", page.page("Privacy audit", _page(found)))


def print_audit(found: Audit) -> None:
    """Print the tables and the verdict."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, head, rows in _tables(found):
        table = Table(title=title, title_justify="left")
        for k, name in enumerate(head):
            table.add_column(name, justify="left" if k == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(_verdict(found))


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "training": bound.training,
        "claimed": bound.claimed,
        "proven": bound.proven,
        "refuted": bound.is_refuted,
        **bound.guesses._asdict(),
    }


def _verdict(found: Audit) -> str:
    share = f"{found.confidence:.0%}"
    if found.own.is_refuted:
        return (
            f"REFUTED: with {share} confidence epsilon is at least {found.own.proven:.2f}, and "
            f"{found.own.claimed:g} is claimed."
        )
    missed = [control.training for control in found.controls if not control.is_refuted]
    if missed:
        return (
            f"Nothing shown: the audit does not catch a training {' or '.join(missed)}, though "
            f"right guesses alone would prove epsilon {found.reachable:.2f}; audit a smaller "
            "epsilon."
        )
    return (
        f"The claim of epsilon {found.own.claimed:g} stands: with {share} confidence nothing above "
        f"{found.own.proven:.2f} is proven, and the broken trainings were caught."
    )


def _tables(found: Audit) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    yield (
        f"Canaries in one training (all guesses right: epsilon {found.reachable:.2f})",
        ["training", "claimed epsilon", "proven epsilon", "guessed right", "claim"],
        [
            [
                bound.training,
                f"{bound.claimed:g}",
                f"{bound.proven:.2f}",
                f"{bound.guesses.n_right} of {bound.guesses.n_guessed}",
                "refuted" if bound.is_refuted else "stands",
            ]
            for bound in (found.own, *found.controls)
        ],
    )
    yield (
        "Membership of a day (likelihood ratio)",
        ["training", "area under the curve", "found at 1 % false"],
        [
            [name, f"{curve.auc:.3f}", f"{100 * curve.tpr_at_1:.1f} %"]
            for name, curve in (("with privacy", found.private), ("without", found.exact))
        ],
    )
    if found.inversions:
        yield (
            "A day's features read off a gradient",
            ["what is seen", "error in standard deviations", "read off within 1 %"],
            [
                [case.seen, f"{case.error:.2f}", f"{100 * case.exact:.0f} %"]
                for case in found.inversions
            ],
        )


def _page(found: Audit) -> Iterator[str]:
    yield page.element("h1", "Privacy audit")
    yield page.element("p", _verdict(found))
    svg = to_svg(lambda figure: _draw(figure, found), width=5.0, height=4.0, name="roc")
    tables = list(_tables(found))
    for title, head, rows in tables:
        yield page.element("h2", title)
        cells = ["<tr>" + "".join(page.element("td", c) for c in row) + "</tr>" for row in rows]
        yield page.table(head, cells, text_columns=[0])
        if title.startswith("Membership"):
            caption = (
                "Members found against others taken for members. The diagonal is a coin; the "
                "nearer to it, the less the trained model tells of any one day."
            )
            yield page.figure(svg, caption, "Curve of the membership attack")
    yield page.element(
        "p",
        f"Bounds hold with {found.confidence:.0%} confidence at delta {found.delta:g}. They are "
        "lower bounds: that nothing larger was proven does not prove that nothing larger is true.",
    )


def _draw(figure: "Figure", found: Audit) -> None:
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED.light, linewidth=1, linestyle="--")
    for name, curve in (("without privacy", found.exact), ("with privacy", found.private)):
        axes.plot(curve.false_positives, curve.true_positives, label=f"{name} ({curve.auc:.2f})")
    axes.set_xlabel("others taken for members")
    axes.set_ylabel("members found")
    axes.legend(loc="lower right")
