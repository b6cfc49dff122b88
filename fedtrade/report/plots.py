"""The plots of the report: each function draws one of them into a Matplotlib figure or axes.

Matplotlib is imported only when something is drawn. Call these inside `theme.to_svg`,
`theme.to_png` or `theme.style`, which set the look.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrade.atomic import write_atomically
from fedtrade.report.arms import arm_colour, describe_arm, hardest_baseline
from fedtrade.report.comparisons import Comparison, comparisons, participant_gains
from fedtrade.report.gains import gain_scale, gain_text, gain_unit
from fedtrade.report.known_metrics import KNOWN_METRICS, describe, level_text, percent_text
from fedtrade.report.page import typographic
from fedtrade.report.results import ForecastPath, Headline, Results, Round
from fedtrade.report.theme import BREACH, GRID, INK, MUTED, PAPER, RETURNS, to_png
from fedtrade.tasks.task import FEDERATED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED_PARTICIPANTS = 40
MAX_NAMED_PERIODS = 9


def picture(results: Results, path: str | Path) -> None:
    """Write a PNG of the arm comparison and, where there is one, the VaR path beside it.

    Raises
    ------
    ValueError
        If the results have neither comparisons nor a path.
    OutputError
        If the file cannot be written.
    """
    found = comparisons(results)
    forecast = results.series.path
    if not found and forecast is None:
        raise ValueError("a picture needs comparisons or a forecast path; the results have neither")

    def draw(figure: "Figure") -> None:
        if forecast is None:
            draw_gains(figure.add_subplot(), found)
        elif not found:
            draw_path(figure.add_subplot(), forecast)
        else:
            left, right = figure.subplots(1, 2, width_ratios=(0.85, 1))
            draw_gains(left, found)
            draw_path(right, forecast)

    write_atomically(path, to_png(draw, width=12.0, height=4.2, dpi=130))


def draw_gains(
    axes: "Axes", found: Sequence[Comparison], title: str = "Gain of federated training"
) -> None:
    """Gain over each arm with its 95 % interval; the easiest opponent on top."""
    shown = sorted((c for c in found if c.gain is not None), key=lambda c: c.gain or 0.0)
    draw_intervals(
        axes,
        [describe_arm(c.against).title for c in shown],
        shown,
        [arm_colour(c.against).light for c in shown],
    )
    axes.set_title(title)


def draw_intervals(
    axes: "Axes", labels: Sequence[str], found: Sequence[Comparison], colours: Sequence[str]
) -> None:
    """Dots with whiskers from the bottom up; hollow where the interval contains zero.

    All of `found` are of one headline score.
    """
    headline = found[0].headline
    axes.axvline(0.0, color=MUTED.light, linewidth=1.0)
    axes.grid(visible=False, axis="y")
    for height, (comparison, colour) in enumerate(zip(found, colours, strict=True)):
        ends = (comparison.gain, comparison.low, comparison.high)
        gain, low, high = gain_scale(headline) * _numbers(ends)
        axes.plot([low, high], [height, height], color=colour, linewidth=2.0)
        is_clear = comparison.is_decided or comparison.low is None
        axes.plot(
            gain,
            height,
            marker="o",
            markersize=7.0,
            markerfacecolor=colour if is_clear else PAPER.light,
            markeredgecolor=colour,
            markeredgewidth=1.6,
        )
        axes.annotate(
            typographic(gain_text(headline, comparison.gain)),
            (gain if comparison.high is None else high, height),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", labelcolor=INK.light)
    axes.set_ylim(-0.6, max(len(labels), 1) - 0.25)
    _gain_axis(axes, headline, "federated better →")


def draw_participants(figure: "Figure", results: Results, against: Sequence[str]) -> None:
    """Gain of each participant over each arm of `against`, one panel an arm."""
    panels = figure.subplots(1, len(against), squeeze=False)[0]
    for axes, arm in zip(panels, against, strict=True):
        gains = participant_gains(results, arm)
        if len(gains) > MAX_NAMED_PARTICIPANTS:
            draw_gain_histogram(axes, gains, results.headline)
        else:
            draw_gain_bars(axes, gains, results.headline)
        title = describe_arm(arm).title
        n_better = sum(gain > 0 for gain in gains.values())
        axes.set_title(f"Against {title}: {n_better:,} of {len(gains):,} better off")


def draw_gain_bars(axes: "Axes", gains: Mapping[str, float], headline: Headline) -> None:
    """One bar a participant, the best on top; the worst is labelled with its gain."""
    values = [gain_scale(headline) * gain for gain in gains.values()]
    better, worse = arm_colour(FEDERATED).light, BREACH.light
    axes.barh(range(len(values)), values, color=[better if v >= 0 else worse for v in values])
    axes.axvline(0.0, color=MUTED.light, linewidth=1.0)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(values)), [_shortened(name) for name in gains])
    axes.set_ylabel("participant")
    axes.set_ylim(-0.6, max(len(values), 3) - 0.4)
    _gain_axis(axes, headline)
    if values:
        axes.annotate(
            typographic(f"worst {gain_text(headline, next(iter(gains.values())))}"),
            (max(values[0], 0.0), 0),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )


def draw_gain_histogram(axes: "Axes", gains: Mapping[str, float], headline: Headline) -> None:
    """Distribution of the participants' gains, for many participants; the worst is named."""
    values = gain_scale(headline) * np.array(list(gains.values()))
    # Bins that have an edge at zero, so that no bar mixes both kinds.
    step = max(float(np.ptp(values)) / 30.0, 1e-6)
    edges = step * np.arange(np.floor(values.min() / step), np.ceil(values.max() / step) + 1.5)
    _, _, bars = axes.hist(values, bins=list(edges))
    for bar in bars:  # type: ignore[union-attr]
        is_better = bar.get_x() > -step / 2  # type: ignore[union-attr]
        colour = arm_colour(FEDERATED).light if is_better else BREACH.light
        bar.set(facecolor=colour, edgecolor=PAPER.light, linewidth=0.6)  # type: ignore[union-attr]
    axes.axvline(0.0, color=MUTED.light, linewidth=1.0)
    axes.grid(visible=False, axis="x")
    worst = next(iter(gains))
    axes.set_ylabel("participants")
    gain = typographic(gain_text(headline, gains[worst]))
    _gain_axis(axes, headline, f"worst: participant {_shortened(worst)}, {gain}")


def draw_path(axes: "Axes", path: ForecastPath) -> None:
    """Returns, VaR and ES of one asset, with each breach of the VaR marked."""
    bars = _times(path.bars)
    returns, var, es = (_percents(values) for values in (path.returns, path.var, path.es))
    level = level_text(KNOWN_METRICS["hit_rate"], path.level)
    blue = arm_colour(FEDERATED).light
    axes.vlines(bars, np.minimum(returns, 0), np.maximum(returns, 0), RETURNS.light, linewidth=0.7)
    axes.plot(*_broken(bars, var), color=blue, label=f"{level} VaR", linewidth=1.5)
    axes.plot(*_broken(bars, es), color=blue, label="expected shortfall", linewidth=0.9, alpha=0.55)
    breach = returns < var
    axes.plot(
        bars[breach],
        returns[breach],
        linestyle="none",
        marker="o",
        markersize=5.0,
        color=BREACH.light,
        label="breach",
    )
    n_days = int(np.sum(np.isfinite(returns) & np.isfinite(var)))
    n_breaches = int(breach.sum())
    share = percent_text(n_breaches / n_days) if n_days else "n/a"
    axes.set_title(
        f"{_shortened(path.asset)} (participant {_shortened(path.participant)}): "
        f"{n_breaches} breach{'' if n_breaches == 1 else 'es'} in {n_days:,} bars, {share}"
    )
    axes.set_ylabel("return, %")
    _time_axis(axes, bars)
    axes.legend(loc="lower left", ncols=3)
    # Room for the legend below the deepest value.
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 0.12 * (top - bottom), top)


def draw_rounds(axes: "Axes", rounds: Sequence[Round]) -> None:
    """Training loss by round: each episode thin, the mean over episodes bold."""
    from matplotlib.ticker import MaxNLocator

    by_episode: dict[int, dict[int, float]] = {}
    for record in rounds:
        loss = float("nan") if record.loss is None else record.loss
        by_episode.setdefault(record.episode, {})[record.round] = loss
    for losses in by_episode.values():
        axes.plot(list(losses), list(losses.values()), color=RETURNS.light, linewidth=0.9)
    numbers = sorted({number for losses in by_episode.values() for number in losses})
    # A mean over the same episodes at each round: one that starts or ends early would bend it.
    complete = [
        [losses[n] for n in numbers]
        for losses in by_episode.values()
        if set(numbers) <= set(losses)
    ]
    marker = "o" if len(numbers) <= 30 else ""
    if complete:
        mean = np.mean(np.array(complete), axis=0)
        colour = arm_colour(FEDERATED).light
        axes.plot(numbers, mean, color=colour, linewidth=2.4, marker=marker, markersize=4.5)
    axes.set_title("Training loss by round (thin: one episode, bold: mean)")
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_score_difference(axes: "Axes", results: Results, against: str) -> None:
    """Cumulated difference of daily headline scores; rising while federated is better."""
    daily = results.series.daily
    if daily is None or FEDERATED not in daily.scores or against not in daily.scores:
        raise ValueError(f"the results have no daily scores of {FEDERATED} and {against}")
    headline = results.headline
    sign = headline.scale if headline.lower_is_better else -headline.scale
    ours, theirs = (_numbers(daily.scores[arm]) for arm in (FEDERATED, against))
    difference = np.cumsum(np.nan_to_num(sign * (theirs - ours)))
    bars = _times(daily.bars)
    holes = _holes(bars)
    # Years between two test periods would push these to the edges.
    x = np.arange(len(bars)) if len(holes) else bars
    colour = arm_colour(FEDERATED).light
    axes.fill_between(x, difference, 0.0, color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, difference, color=colour)
    axes.axhline(0.0, color=MUTED.light, linewidth=1.0)
    axes.set_title(f"Cumulated advantage over {describe_arm(against).title}")
    # A sum of scores per day is not per day.
    unit = headline.unit.removesuffix("/day")
    title = describe(headline.metric, headline).title
    axes.set_ylabel(f"{title}, {unit}" if unit else title)
    if len(holes):
        _period_axis(axes, bars, holes)
    else:
        _time_axis(axes, bars)


def opponents(results: Results) -> tuple[str, ...]:
    """Arms worth a panel of participants: the tuned local model and the hardest baseline."""
    wanted = dict.fromkeys(arm for arm in ("local_tuned", hardest_baseline(results)) if arm)
    return tuple(arm for arm in wanted if participant_gains(results, arm))


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _percents(values: Iterable[float | None]) -> NDArray[np.float64]:
    return 100.0 * _numbers(values)


def _times(bars: Sequence[str]) -> NDArray[np.datetime64]:
    return np.array(bars, dtype="datetime64[s]")


def _broken(
    bars: NDArray[np.datetime64], values: NDArray[np.float64]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """A line with a hole where bars are far apart, as between two test periods."""
    holes = _holes(bars)
    return np.insert(bars, holes, bars[holes - 1]), np.insert(values, holes, np.nan)


def _holes(bars: NDArray[np.datetime64]) -> NDArray[np.intp]:
    """Positions of the bars that come long after the one before."""
    steps = np.diff(bars).astype(np.int64)
    if len(steps) == 0:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(steps > 15 * np.median(steps)) + 1


def _shortened(name: str, length: int = 24) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _gain_axis(axes: "Axes", headline: Headline, remark: str = "") -> None:
    """An axis of shown gains: per cent at every tick, any other unit in the label."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    unit = gain_unit(headline)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.6g} %" if unit == "%" else "{x:.6g}"))
    label = "gain" if unit in ("%", "") else f"gain, {unit}"
    axes.set_xlabel(f"{label} ({remark})" if remark else label)
    axes.margins(x=0.12)


def _time_axis(axes: "Axes", bars: NDArray[np.datetime64]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=3.0, color=GRID.light)
    if len(bars) > 1:
        axes.set_xlim(bars.min(), bars.max())


def _period_axis(axes: "Axes", bars: NDArray[np.datetime64], holes: NDArray[np.intp]) -> None:
    """An axis of consecutive bars, with a dotted line and the month where a period starts."""
    for hole in holes:
        axes.axvline(hole, color=MUTED.light, linewidth=0.8, linestyle=":")
    starts = np.concatenate([[0], holes])
    shown = starts[:: -(-len(starts) // MAX_NAMED_PERIODS)]
    axes.set_xticks(shown, [str(bars[start])[:7] for start in shown])
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=3.0, color=GRID.light)
    axes.set_xlim(0, len(bars) - 1)
    axes.set_xlabel("bars of the test periods, by the month of their first")
