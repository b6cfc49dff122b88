"""The report of one run: one self-contained HTML file, made to be read top-down."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path

from fedtrade.atomic import write_atomically
from fedtrade.report import page
from fedtrade.report.arms import ROLE_TITLES, arm_colour, describe_arm, hardest_baseline
from fedtrade.report.comparisons import SUMMED_SCORES, Comparison, compare, comparisons
from fedtrade.report.console import comparison_cells, comparison_head
from fedtrade.report.gains import comparison_glossary, gain_text
from fedtrade.report.known_metrics import (
    MISSING,
    Column,
    all_columns,
    best_arm,
    describe,
    level_text,
    percent_text,
    summary_columns,
)
from fedtrade.report.page import typographic
from fedtrade.report.plots import (
    MAX_NAMED_PARTICIPANTS,
    draw_gains,
    draw_participants,
    draw_path,
    draw_rounds,
    draw_score_difference,
    opponents,
)
from fedtrade.report.privacy_section import privacy_section
from fedtrade.report.results import Results, metric
from fedtrade.report.settings_text import data_source, find_setting
from fedtrade.report.theme import to_svg
from fedtrade.tasks.task import FEDERATED

TASK_TITLES = {
    "risk": "Tail risk: value at risk and expected shortfall",
    "volatility": "Volatility forecasts",
    "signal": "Trading signal",
}
# Settings worth a line of their own, by the last part of their key.
_SHOWN_SETTINGS = {
    "test_bars": "Bars in a test period",
    "embargo_bars": "Embargo, bars",
    "n_trials": "Configurations tried",
    "seed": "Seed",
}
_WIDTH = 9.4  # inches; the page scales it to its own width
_MAX_FAILURES = 50


def write_report(results: Results, path: str | Path) -> None:
    """Write the report of a run; an earlier file is replaced as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_atomically(path, report(results))


def report(results: Results) -> str:
    """The report of a run as an HTML document; parts without data are left out."""
    sections = (
        _head,
        _run,
        _scores,
        _gains,
        _participants,
        _over_time,
        _training,
        _failures,
        _privacy,
        _every_metric,
        _reading,
    )
    html = [part for section in sections for part in section(results)]
    return page.page(f"fedtrade: {_task_title(results)}", html)


def _head(results: Results) -> Iterator[str]:
    yield page.element("div", "fedtrade report", "kicker")
    yield page.element("h1", _task_title(results))
    yield page.element("p", typographic(results.verdict), "verdict")
    for note in results.notes:
        yield page.element("p", typographic(note), "note")
    tiles = list(_tiles(results))
    if tiles:
        items = "".join(
            f"<li><strong>{escape(typographic(number))}</strong>{page.element('span', text)}</li>"
            for number, text in tiles
        )
        yield f'<ul class="tiles">{items}</ul>'


def _tiles(results: Results) -> Iterator[tuple[str, str]]:
    headline = results.headline
    column = Column(describe(headline.metric, headline), headline.level)
    score = metric(results, FEDERATED, headline.metric, headline.level)
    if score is not None:
        yield f"{column.text(score)} {column.metric.unit}".rstrip(), f"{column.title}, federated"
    hardest = hardest_baseline(results)
    for arm in dict.fromkeys(arm for arm in (hardest, "local_tuned") if arm):
        found = compare(results, arm)
        if found.gain is not None:
            yield gain_text(headline, found.gain), _gain_caption(found, arm == hardest)
    if hardest and (found := compare(results, hardest)).share_better is not None:
        worst = gain_text(headline, found.worst_gain)
        title = describe_arm(hardest).title
        text = f"of participants better off than with {title}; the worst: {typographic(worst)}"
        yield percent_text(found.share_better, 0), text
    elif hardest and found.share_of_episodes_better is not None:
        title = describe_arm(hardest).title
        text = f"of cases, one participant in one test period, better than with {title}"
        yield percent_text(found.share_of_episodes_better, 0), text


def _gain_caption(found: Comparison, is_hardest: bool) -> str:
    title = describe_arm(found.against).title
    _, interval, t, *_ = comparison_cells(found)
    what = f"gain over {title}" + (", the hardest baseline" if is_hardest else "")
    evidence = f"95 %: {interval}; t = {t}" if interval != MISSING else f"t = {t}"
    return f"{what} ({typographic(evidence)})"


def _run(results: Results) -> Iterator[str]:
    yield page.element("h2", "What was run")
    yield page.definitions(run_facts(results))
    if results.settings:
        text = json.dumps(results.settings, indent=2, ensure_ascii=False)
        yield page.details("All settings of this run", page.element("pre", text))


def run_facts(results: Results) -> list[tuple[str, str]]:
    """What was run, in short: pairs of a term and its text."""
    facts = [("Task", _task_title(results))]
    if results.episodes:
        first = min(episode.origin for episode in results.episodes)
        last = max(episode.test_end for episode in results.episodes)
        sizes = sorted({episode.n_participants for episode in results.episodes})
        size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        facts += [
            ("Test periods", f"{len(results.episodes):,}, from {first} to {last}"),
            ("Participants", size),
        ]
    if results.rounds:
        n_rounds = max(record.round for record in results.rounds)
        facts.append(("Rounds", f"{n_rounds:,} in each episode"))
    source = data_source(results.settings)
    if source:
        facts.append(("Data", source))
    facts.append(("Arms", ", ".join(describe_arm(arm).title for arm in results.arms) or "none"))
    for key, title in _SHOWN_SETTINGS.items():
        value = find_setting(results.settings, key)
        if value is not None:
            facts.append((title, str(value)))
    facts.append(
        ("Made", f"{_readable_time(results.created)} with fedtrade {results.fedtrade_version}")
    )
    return facts


def _scores(results: Results) -> Iterator[str]:
    if not results.arms:
        return
    yield page.element("h2", "How each arm did, out of time")
    yield page.element(
        "p",
        "Scores on days after each model was trained, over all participants; the best in green.",
        "muted",
    )
    yield _score_table(results, summary_columns(results))
    yield _role_legend(results)


def _score_table(results: Results, columns: tuple[Column, ...]) -> str:
    best = [best_arm(results, column) for column in columns]
    rows = []
    for arm in results.arms:
        values = [metric(results, arm, c.metric.name, c.level) for c in columns]
        if all(value is None for value in values):
            continue
        cells = [
            page.element(
                "td",
                typographic(column.text(value)),
                "best" if arm == winner and value is not None else "",
            )
            for column, value, winner in zip(columns, values, best, strict=True)
        ]
        rows.append(_row(arm, cells))
    return page.table(["", *(_heading(column) for column in columns)], rows)


def _heading(column: Column) -> str:
    level = f"at {column.level_text}" if column.level_text else ""
    unit = f"in {column.metric.unit}" if column.metric.unit else ""
    second_line = ", ".join(part for part in (level, unit) if part)
    return f"{column.metric.title}\n{second_line}".rstrip()


def _row(arm: str, cells: Iterable[str], remark: str = "") -> str:
    name = page.dot(arm_colour(arm).name) + escape(describe_arm(arm).title)
    if remark:
        name += page.element("span", remark, "role")
    css_class = ' class="ours"' if arm == FEDERATED else ""
    return f'<tr{css_class}><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _role_legend(results: Results) -> str:
    roles = {describe_arm(arm).role: arm_colour(arm).name for arm in results.arms}
    items = "".join(
        f"<span>{page.dot(colour)}{escape(ROLE_TITLES[role])}</span>"
        for role, colour in roles.items()
    )
    return f'<div class="legend">{items}</div>'


def _gains(results: Results) -> Iterator[str]:
    found = [c for c in comparisons(results) if c.gain is not None]
    if not found:
        return
    yield page.element("h2", "What training together is worth")
    hardest = hardest_baseline(results)
    rows = [
        _row(
            comparison.against,
            [page.element("td", typographic(text)) for text in comparison_cells(comparison)],
            "hardest baseline" if comparison.against == hardest else "",
        )
        for comparison in found
    ]
    yield page.table(["Federated against", *comparison_head(results)], rows)
    svg = to_svg(
        lambda figure: draw_gains(figure.add_subplot(), found),
        width=_WIDTH,
        height=1.1 + 0.36 * len(found),
        name="gains",
    )
    yield page.figure(
        svg,
        "Right of the line federated training is better. Lines are 95 % block-bootstrap "
        "intervals; a hollow dot means that the interval contains zero.",
        "Gain of federated training over each arm, with intervals",
    )


def _participants(results: Results) -> Iterator[str]:
    if results.is_summed:
        yield page.element("h2", "Who gains, and who does not")
        yield page.element("p", SUMMED_SCORES)
        return
    against = opponents(results)
    if not against:
        return
    yield page.element("h2", "Who gains, and who does not")
    n_bars = len(results.participants)
    has_bars = n_bars <= MAX_NAMED_PARTICIPANTS
    svg = to_svg(
        partial(draw_participants, results=results, against=against),
        width=_WIDTH,
        height=1.3 + 0.2 * max(n_bars, 3) if has_bars else 3.2,
        name="participants",
    )
    yield page.figure(
        svg,
        ("The best on top. " if has_bars else "How many participants gain how much. ")
        + "Red: worse off under the federated model.",
        "Gain of each participant",
    )


def _over_time(results: Results) -> Iterator[str]:
    daily, path, hardest = results.series.daily, results.series.path, hardest_baseline(results)
    has_scores = (
        daily is not None and hardest in daily.scores and FEDERATED in daily.scores and daily.bars
    )
    if not has_scores and path is None:
        return
    yield page.element("h2", "Over time")
    if has_scores and hardest is not None:
        svg = to_svg(
            lambda figure: draw_score_difference(figure.add_subplot(), results, hardest),
            width=_WIDTH,
            height=2.9,
            name="difference",
        )
        title = describe_arm(hardest).title
        yield page.figure(
            svg,
            f"Sum of daily score differences to {title}, the hardest baseline. A steady rise is "
            "a gain that lasts; one jump is a single event.",
            f"Cumulated advantage over {title}",
        )
    if path is not None:
        svg = to_svg(
            lambda figure: draw_path(figure.add_subplot(), path),
            width=_WIDTH,
            height=3.3,
            name="path",
        )
        yield page.figure(
            svg,
            "Federated forecasts for one asset, each made a bar ahead. Breaches should be as "
            "rare as the level says and should not come in clusters.",
            "Returns, value at risk, expected shortfall and breaches of one asset",
        )


def _training(results: Results) -> Iterator[str]:
    if not results.rounds:
        return
    yield page.element("h2", "Training")
    replies = sum(record.n_replies for record in results.rounds)
    failures = sum(record.n_failures for record in results.rounds)
    times = [record.seconds for record in results.rounds if record.seconds is not None]
    pace = f" A round took {sum(times) / len(times):.2g} s on average." if times else ""
    text = f"{replies:,} replies, {failures:,} failed, in {len(results.rounds):,} rounds."
    yield page.element("p", text + pace)
    if any(record.loss is not None for record in results.rounds):
        svg = to_svg(
            lambda figure: draw_rounds(figure.add_subplot(), results.rounds),
            width=_WIDTH,
            height=2.7,
            name="rounds",
        )
        caption = "Mean training loss reported by participants."
        yield page.figure(svg, caption, "Training loss by round")


def _failures(results: Results) -> Iterator[str]:
    if not results.failures:
        return
    yield page.element("h3", "Failures")
    rows = []
    for failure in results.failures[:_MAX_FAILURES]:
        cells = (failure.episode + 1, failure.round)
        numbers = "".join(page.element("td", str(cell)) for cell in cells)
        name = f'<th scope="row">{escape(failure.title)}</th>'
        rows.append(f"<tr>{name}{numbers}{page.element('td', failure.reason, 'text')}</tr>")
    yield page.table(["Participant", "Episode", "Round", "Reason"], rows, text_columns=[3])
    left = len(results.failures) - _MAX_FAILURES
    if left > 0:
        yield page.element("p", f"{left:,} more are in results.json.", "muted")


def _privacy(results: Results) -> Iterator[str]:
    if results.privacy is not None:
        yield page.element("h2", "Who learns what")
        yield from privacy_section(results.privacy)


def _every_metric(results: Results) -> Iterator[str]:
    columns = all_columns(results)
    if len(columns) > len(summary_columns(results)):
        by_metric: dict[str, tuple[Column, ...]] = {}
        for column in columns:
            by_metric[column.metric.title] = (*by_metric.get(column.metric.title, ()), column)
        # A few metrics a table, so that each fits the page.
        groups: list[tuple[Column, ...]] = [()]
        for group in by_metric.values():
            if groups[-1] and len(groups[-1]) + len(group) > 7:
                groups.append(())
            groups[-1] += group
        yield page.element("h2", "Every metric")
        tables = "\n".join(_score_table(results, group) for group in groups)
        yield page.details("All metrics at all levels, with the tests of the forecasts", tables)


def _reading(results: Results) -> Iterator[str]:
    yield page.element("h2", "How to read this")
    shown = dict.fromkeys(column.metric for column in all_columns(results))
    terms = [(known.title, known.explanation) for known in shown if known.explanation]
    if comparisons(results):
        n_origins = len({episode.origin for episode in results.episodes})
        terms += comparison_glossary(results.headline, n_origins, is_summed=results.is_summed)
    yield page.definitions(terms)
    arms = [(a.title, a.explanation) for a in map(describe_arm, results.arms) if a.explanation]
    if arms:
        yield page.element("h3", "Arms")
        yield page.definitions(arms)
    yield page.element("h3", "Method")
    yield from (page.element("p", text) for text in method(results))
    made = f"fedtrade {results.fedtrade_version}, {_readable_time(results.created)}."
    yield f"<footer>{escape(made)} The numbers are in results.json beside this file.</footer>"


def method(results: Results) -> Iterator[str]:
    """How the numbers came about, in plain sentences."""
    yield (
        "Every score is out of time: a model is trained on data up to an origin and scored on "
        "the days after it; then the origin moves on. All participants are cut at the same "
        "calendar dates, and scalers are fitted on training data only."
    )
    yield (
        "Differences between arms are paired: same days, same assets. Their intervals come from "
        "a block bootstrap, which keeps the dependence between neighbouring days."
    )
    costs = [c.level for c in all_columns(results) if c.metric.name == "net_sharpe" and c.level]
    if costs:
        known = describe("net_sharpe", results.headline)
        shown = ", ".join(level_text(known, cost) for cost in costs)
        yield f"Trading costs of {shown} of the traded value are subtracted where stated."
    trials = find_setting(results.settings, "n_trials")
    if trials is not None:
        yield f"Configurations tried before this result: {trials}. Trying many finds luck."


def _readable_time(created: str) -> str:
    """An ISO-8601 time to the minute; other text as it is."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    return time.strftime("%Y-%m-%d %H:%M %Z").rstrip()


def _task_title(results: Results) -> str:
    return TASK_TITLES.get(results.task, results.task.replace("_", " ").capitalize())
