"""The plots of the arena; call them inside `theme.to_svg` or `theme.to_png`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrade.report.theme import GRID, INK, MUTED
from simulations.arena.standings import Standings
from simulations.arena.wording import metric_title, number_text, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_heat_map", "draw_worst_by_share"]

_COLOURS = "RdYlBu"  # red is bad, blue is good: told apart with any colour vision
# Near INK and PAPER, but not the colours that follow the page's scheme: cells keep theirs.
_DARK_TEXT, _LIGHT_TEXT = "#1b2431", "#fefeff"
_LINES = ("-", "--", ":", "-.")


def draw_heat_map(axes: "Axes", found: Standings, share: float) -> None:
    """One metric by rule (the best worst case on top) and attack, at one share of liars.

    Colours run from 0 to 100 %; numbers are in per cent, and a cell without one is empty.
    """
    from matplotlib import colormaps

    columns = [a for a in found.attacks if any((r, a, share) in found.cases for r in found.rules)]
    values = _values(found, columns, share)
    colours = colormaps[_COLOURS](np.clip(values, 0.0, 1.0))
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.text(
                column,
                row,
                "\N{EN DASH}",
                ha="center",
                va="center",
                color=MUTED.light,
                fontsize=7.5,
            )
            continue
        fill = colours[row, column]
        axes.fill(
            column + np.array([-0.48, 0.48, 0.48, -0.48]),
            row + np.array([-0.46, -0.46, 0.46, 0.46]),
            facecolor=fill[:3],
            linewidth=0,
        )
        is_dark = float(fill[:3] @ (0.299, 0.587, 0.114)) < 0.5
        axes.text(
            column,
            row,
            number_text(float(value), 0).replace("-", "\N{MINUS SIGN}"),
            ha="center",
            va="center",
            fontsize=7.5,
            color=_LIGHT_TEXT if is_dark else _DARK_TEXT,
        )
    labels = [_shortened(attack) for attack in columns]
    axes.set_xticks(range(len(columns)), labels, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(found.ranking)), map(_shortened, found.ranking))
    axes.xaxis.tick_top()
    axes.tick_params(axis="both", labelcolor=INK.light, length=0)
    axes.grid(visible=False)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(found.ranking) - 0.5, -0.5)


def draw_worst_by_share(axes: "Axes", found: Standings) -> None:
    """Each rule's worst case at each share of liars, in per cent, cut off below zero."""
    from matplotlib import colormaps

    colours = colormaps["tab10"]
    for number, rule in enumerate(found.ranking):
        points = [(s, found.worst(rule, s)) for s in found.shares]
        known = [(s, c.value.mean) for s, c in points if c is not None and c.value.mean is not None]
        if known:
            axes.plot(
                [100 * share for share, _ in known],
                [max(100 * value, -20.0) for _, value in known],
                label=rule,
                color=colours(number % 10),
                linestyle=_LINES[number // 10 % len(_LINES)],
                marker="o",
                markersize=3.5,
            )
    axes.axhline(0.0, color=GRID.light, linewidth=1.0)
    axes.set_xlabel("liars, % of the participants")
    axes.set_ylabel(f"worst {metric_title(found.metric).lower()}, %")
    axes.set_xticks([100 * share for share in found.shares if share])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def heat_map_height(found: Standings) -> float:
    """Inches that the heat map needs, with its slanted labels."""
    n_letters = max((len(_shortened(attack)) for attack in found.attacks), default=0)
    return 0.6 + 0.06 * n_letters + 0.27 * max(len(found.rules), 3)


def heat_map_title(found: Standings, share: float) -> str:
    """What the heat map shows."""
    return (
        f"{metric_title(found.metric)} in per cent with {share_text(share)} liars; "
        f"{found.problem}, {found.heterogeneity}"
    )


def _shortened(name: str, length: int = 32) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _values(found: Standings, attacks: list[str], share: float) -> NDArray[np.float64]:
    """Means over seeds, shape (n_rules, n_attacks); NaN for none."""
    values = np.full((len(found.ranking), len(attacks)), np.nan)
    for row, rule in enumerate(found.ranking):
        for column, attack in enumerate(attacks):
            case = found.cases.get((rule, attack, share))
            if case is not None and case.mean is not None:
                values[row, column] = case.mean
    return values
