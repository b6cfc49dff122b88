"""Building blocks of a self-contained HTML page: no scripts, nothing fetched.

Arguments named `text` are users' data and are escaped here; arguments named `html` are trusted
fragments made by these functions.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from fedtrade.report.page_style import STYLE_SHEET
from fedtrade.report.theme import css_variables

_PANEL = {"light": "#f5f7f9", "dark": "#1d242d"}


def page(title: str, html: Iterable[str]) -> str:
    """A whole document around trusted fragments; the title is escaped."""
    content = "\n".join(html)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Holds even where a user's name should slip past the escaping.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_style_sheet()}</style>\n</head>\n"
        f"<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    )


def _style_sheet() -> str:
    light, dark = (f"{css_variables(s)} --panel: {_PANEL[s]};" for s in ("light", "dark"))
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{STYLE_SHEET}"
    )


def element(tag: str, text: str, css_class: str = "") -> str:
    """One element holding escaped text."""
    attribute = f' class="{css_class}"' if css_class else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def dot(colour: str) -> str:
    """A small disc in a colour of the theme, by its name."""
    return f'<span class="dot" style="background: var(--{colour})"></span>'


def table(head: Sequence[str], html: Iterable[str], text_columns: Iterable[int] = ()) -> str:
    """A table: header cells as text (a newline breaks the line), rows as trusted fragments."""
    left = set(text_columns)
    cells = "".join(
        f'<th scope="col"{" class=text" if number in left else ""}>'
        f"{escape(text).replace(chr(10), '<br>')}</th>"
        for number, text in enumerate(head)
    )
    rows = "\n".join(html)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{cells}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def definitions(items: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they are, both as text."""
    pairs = items.items() if isinstance(items, Mapping) else items
    content = "\n".join(element("dt", term) + element("dd", text) for term, text in pairs)
    return f"<dl>\n{content}\n</dl>"


def figure(html: str, caption: str, description: str) -> str:
    """An SVG with its caption, and a description for those who do not see it."""
    label = f'<svg role="img" aria-label="{escape(description)}" '
    return (
        f"<figure>{html.replace('<svg ', label, 1)}<figcaption>{escape(caption)}</figcaption>"
        "</figure>"
    )


def details(summary: str, html: str) -> str:
    """A part that is folded away until asked for."""
    return f"<details><summary>{escape(summary)}</summary>\n{html}\n</details>"


def typographic(text: str) -> str:
    """Text whose numbers have a true minus sign and stay on the line of their unit.

    Hyphens, as in dates and names, are left as they are.
    """
    text = re.sub(r"(?<![\w.-])-(?=\d)", "\N{MINUS SIGN}", text)
    text = re.sub(r"(?<=\d) (?=(%|bp)(\W|$))", "\N{NO-BREAK SPACE}", text)
    return text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
