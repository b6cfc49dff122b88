"""One look for all plots, on paper, on a light screen and on a dark one.

Plots are drawn in the light colours. In an HTML page each of these becomes a CSS variable, so
that the page's style sheet decides; in a PNG they stay.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fedtrade.report.arms import ROLE_COLOURS, Colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = Colour("ink", "#1b2430", "#e8ebef")
MUTED = Colour("muted", "#5d6875", "#9fabb8")
GRID = Colour("grid", "#e2e6eb", "#2d3540")
BREACH = Colour("breach", "#c5341c", "#ff8466")
RETURNS = Colour("returns", "#a9b3be", "#5f6b78")
PAPER = Colour("paper", "#ffffff", "#151a21")

COLOURS = (INK, MUTED, GRID, BREACH, RETURNS, PAPER, *ROLE_COLOURS.values())

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID.light,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED.light,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK.light,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "grid.color": GRID.light,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK.light,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
    "svg.fonttype": "none",
    "text.color": INK.light,
    # Names of assets and participants are users' text: a dollar sign starts no formula.
    "text.parse_math": False,
    "xtick.color": GRID.light,
    "xtick.labelcolor": MUTED.light,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 0.0,
    "ytick.color": GRID.light,
    "ytick.labelcolor": MUTED.light,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0.0,
}


@contextmanager
def style(**changes: Any) -> Iterator[None]:
    """Draw in the house style inside the block."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {**_SETTINGS, **changes}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A browser has the glyphs that our font lacks, such as those of a Japanese name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def to_svg(draw: Callable[["Figure"], None], *, width: float, height: float, name: str) -> str:
    """Draw a figure (size in inches) as an SVG element to be put into an HTML page.

    Colours become `var(--name)`, the size is left to the page, text stays text, and identifiers
    are unique to `name`, so that several figures can share a page.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with style(**{"svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(buffer.getvalue())


def to_png(draw: Callable[["Figure"], None], *, width: float, height: float, dpi: int) -> bytes:
    """Draw a figure (size in inches) as a PNG on white ground."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style():
        margins = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
        figure = Figure(figsize=(width, height), layout=margins, facecolor=PAPER.light)
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def css_variables(scheme: str) -> str:
    """Declarations of all colours for the scheme `light` or `dark`."""
    return " ".join(f"--{c.name}: {getattr(c, scheme)};" for c in COLOURS)


def _for_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    # The style sheet of the figure would apply to the whole page.
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    # Only definitions are referred to; the names of groups repeat from figure to figure.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'^(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg)
    svg = svg.replace("font-family: 'DejaVu Sans'; ", "")
    for colour in COLOURS:
        svg = re.sub(rf"\b(fill|stroke): {colour.light}\b", rf"\1: var(--{colour.name})", svg)
    return svg.strip()
