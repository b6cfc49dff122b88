"""The part of a report that says who learned what, what would break it, and what was sent."""

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from operator import attrgetter

from fedtrade.report import page
from fedtrade.report.page import typographic
from fedtrade.report.privacy import (
    TRAFFIC_HEAD,
    Learned,
    Privacy,
    by_party,
    parameter_text,
    promises,
    traffic_rows,
)

__all__ = ["privacy_section"]


def privacy_section(privacy: Privacy) -> Iterator[str]:
    """Trusted fragments of HTML below a heading."""
    yield page.element("p", f"Trust mode {privacy.mode}, in this run.")
    if found := promises(privacy):
        yield page.element("h3", "What noise promises")
        yield _sentences(found)
    yield page.table(["Who", "learns"], _learned(privacy), text_columns=[1])
    yield page.element("h3", "Who could learn more")
    yield _sentences(privacy.broken_by)
    yield page.element("h3", "On what that rests")
    yield _sentences(privacy.assumptions)
    if privacy.parameters:
        rows = (
            _row(each.name, [(parameter_text(each.value), ""), (each.meaning, "text")])
            for each in privacy.parameters
        )
        yield page.table(["Parameter", "Value", "Meaning"], rows, text_columns=[2])
    yield from _traffic(privacy)


def _learned(privacy: Privacy) -> Iterator[str]:
    """One row a party."""
    for party, found in groupby(by_party(privacy), attrgetter("party")):
        yield _learned_row(party, found)


def _learned_row(party: str, found: Iterable[Learned]) -> str:
    items = "".join(page.element("div", f"{each.what};") for each in found)
    items = f"{items.removesuffix(';</div>')}.</div>"
    return f'<tr><th scope="row">{escape(party)}</th><td class="text">{items}</td></tr>'


def _sentences(sentences: Iterable[str]) -> str:
    items = "".join(page.element("li", typographic(sentence)) for sentence in sentences)
    return f'<ul class="sentences">{items}</ul>'


def _traffic(privacy: Privacy) -> Iterator[str]:
    for party in dict.fromkeys(found.party for found in privacy.traffic):
        yield page.element("h3", f"What went to and from the {party}")
        rows = (
            _row(title, [(cell, "") for cell in cells])
            for title, *cells in traffic_rows(privacy, party)
        )
        yield page.table(TRAFFIC_HEAD, rows)
    if not privacy.traffic:
        return
    yield page.element(
        "p",
        "Names and values in messages, without what the transport adds. An exchange is a message "
        "to each node and its reply; stages of a protocol belong to the sum that they open. "
        "Numbers are of one time, those of the last row of the whole run.",
        "muted",
    )
    if not privacy.traffic_is_whole:
        text = "The run was resumed: what was sent before the interruption is not counted."
        yield page.element("p", text, "note")


def _row(name: str, cells: Iterable[tuple[str, str]]) -> str:
    content = "".join(page.element("td", typographic(text), css) for text, css in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{content}</tr>'
