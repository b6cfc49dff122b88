"""What privacy costs: the score against epsilon, over the runs of a sweep.

Runs that differ in nothing but their privacy share a panel; those without noise, and the model that
each participant trains alone, are its horizontal lines.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from fedtrade.report.arms import arm_colour
from fedtrade.report.known_metrics import Column
from fedtrade.report.page import typographic
from fedtrade.report.theme import BREACH, INK, MUTED, RETURNS
from fedtrade.tasks.task import FEDERATED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CostPanel", "CostRun", "cost_panels", "draw_cost"]

_LEVELS = ("participant", "record")
_OF_NO_PANEL = ("privacy.", "strategy.weights", "task.baselines")
"""Settings that may differ within a panel."""
_COLOURS = (arm_colour(FEDERATED).light, BREACH.light, RETURNS.light)
_ROOM = 6.0
_LEAST_SPREAD = 0.02


@dataclass(frozen=True, slots=True)
class CostRun:
    """One run, as far as it matters here.

    Attributes
    ----------
    settings : mapping
        The values, as text, of the settings that differ in the sweep, by dotted key.
    score, alone : float or None
        Of the federated model, and of the tuned model that a participant trains alone.
    column : Column
        What the score is.
    """

    settings: Mapping[str, str]
    score: float | None
    alone: float | None
    column: Column


@dataclass(frozen=True, slots=True)
class CostPanel:
    """Runs that differ in their privacy alone.

    Attributes
    ----------
    title : str
        The settings that the panel's runs share, among those that differ in the sweep.
    column : Column
    private : mapping
        By level, scores by epsilon; several where a run was repeated.
    exact, alone : sequence of float
        Scores without noise, and of models trained alone.
    """

    title: str
    column: Column
    private: dict[str, dict[float, list[float]]] = field(default_factory=dict)
    exact: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    @property
    def is_curve(self) -> bool:
        """Whether there is something to compare."""
        n_private = sum(len(scores) for scores in self.private.values())
        return n_private > 1 or (n_private == 1 and bool(self.exact))


def cost_panels(runs: Iterable[CostRun]) -> list[CostPanel]:
    """Panels that show a curve, in the order of their first runs."""
    panels: dict[tuple[tuple[str, str], ...], CostPanel] = {}
    for run in runs:
        if run.score is None:
            continue
        shared = tuple(
            (key, value) for key, value in run.settings.items() if not key.startswith(_OF_NO_PANEL)
        )
        title = ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in shared)
        panel = panels.setdefault(shared, CostPanel(title, run.column))
        found = _epsilon(run.settings)
        if found is None:
            panel.exact.append(run.score)
        else:
            level, epsilon = found
            panel.private.setdefault(level, {}).setdefault(epsilon, []).append(run.score)
        if run.alone is not None:
            panel.alone.append(run.alone)
    return [panel for panel in panels.values() if panel.is_curve]


def draw_cost(figure: "Figure", panels: Sequence[CostPanel]) -> None:
    """One panel beside the other, on one scale.

    A model that noise destroyed would leave no room for the others: what is far off is drawn as a
    triangle at the edge.
    """
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    low, high = _limits(panels)
    levels = sorted({level for panel in panels for level in panel.private})
    colours = dict(zip(levels, cycle(_COLOURS), strict=False))
    for axes, panel in zip(row, panels, strict=True):
        _draw_panel(axes, panel, low, high, colours)
    row[0].set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    metric = panels[0].column.metric
    row[0].set_ylabel(typographic(f"{panels[0].column.title}, {metric.unit}".rstrip(", ")))
    named = {
        label: handle
        for axes in row
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = [*levels, *(label for label in named if label not in levels)]
    figure.legend(
        [named[label] for label in order], order, loc="outside lower center", ncols=len(order)
    )


def _epsilon(settings: Mapping[str, str]) -> tuple[str, float] | None:
    """The levels that are set, and the epsilon of the first of them."""
    levels = [level for level in _LEVELS if settings.get(f"privacy.{level}.epsilon")]
    if not levels:
        return None
    unit = settings.get("privacy.record.unit")
    names = [f"record ({unit})" if level == "record" and unit else level for level in levels]
    return " and ".join(names), float(settings[f"privacy.{levels[0]}.epsilon"])


def _limits(panels: Sequence[CostPanel]) -> tuple[float, float]:
    """Of the scale: all scores, if they are not many times further off than the references."""
    scale = panels[0].column.metric.scale
    private = [s for p in panels for by in p.private.values() for each in by.values() for s in each]
    references = [s for p in panels for s in (*p.exact, *p.alone)] or private
    low, high = min(references), max(references)
    room = _ROOM * max(high - low, _LEAST_SPREAD * max(abs(low), abs(high)))
    return (
        scale * max(low - room, min(low, *private)),
        scale * min(high + room, max(high, *private)),
    )


def _draw_panel(
    axes: "Axes", panel: CostPanel, low: float, high: float, colours: Mapping[str, str]
) -> None:
    scale = panel.column.metric.scale
    for level, scores in sorted(panel.private.items()):
        found, colour = sorted(scores.items()), colours[level]
        axes.plot(
            [epsilon for epsilon, _ in found],
            [float(np.clip(scale * np.mean(each), low, high)) for _, each in found],
            color=colour,
            label=level,
        )
        for epsilon, each in found:
            for value in scale * np.array(each):
                marker = "o" if low <= value <= high else "^" if value > high else "v"
                shown = float(np.clip(value, low, high))
                axes.plot(epsilon, shown, marker, color=colour, markersize=4.0)
    for label, values, style, colour in (
        ("no noise", panel.exact, "--", INK.light),
        ("trained alone", panel.alone, ":", MUTED.light),
    ):
        if values:
            axes.axhline(scale * float(np.mean(values)), linestyle=style, color=colour, label=label)
    ticks = sorted({epsilon for scores in panel.private.values() for epsilon in scores})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{epsilon:g}" for epsilon in ticks])
    axes.minorticks_off()
    axes.set_xlabel("epsilon")
    axes.set_title(typographic(panel.title))
