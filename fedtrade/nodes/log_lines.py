"""What the lines mean that Flower's processes write: level, message, and whole tracebacks."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Entry", "LineReader", "masked", "without_colour"]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
MASK: Final = "[masked]"
MOST_LINES: Final = 500
"""Of a traceback; one that is longer is passed on in pieces."""

CONTROLS: Final = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # colours and cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_LEVEL: Final = "DEBUG|INFO|WARNING|ERROR|CRITICAL"
_MOMENT: Final = r"(?:\d{4}-\d\d-\d\d [\d:,]+\d)?"
_HEADS: Final = (
    re.compile(rf"(?P<level>{_LEVEL})\s*{_MOMENT}\s*:\s*(?P<message>.*)"),
    re.compile(rf"\d{{4}}-\d\d-\d\dT\S+Z (?P<level>{_LEVEL}) (?P<message>.*)"),
)
_TRACE_BEGINS: Final = re.compile(
    r"\s*(?:\+ Exception Group )?Traceback \(most recent call last\):"
)
_TRACE_GOES_ON: Final = re.compile(r"\s|$|During handling of|The above exception")
_FRAME: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]*PRIVATE KEY-----")
_NAMED_SECRET: Final = r"[\w-]*(?:token|secret|password|passphrase|api[_-]?key)"
_SECRETS: Final = (
    (re.compile(rf"(?i)(--{_NAMED_SECRET}[=\s]\s*)([^\s\"']+|\"[^\"]*\"|'[^']*')"), r"\1" + MASK),
    (re.compile(rf"(?i)\b({_NAMED_SECRET}[\"']?\s*[=:]\s*[\"']?)([^\s\"',;}}]+)"), r"\1" + MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 " + MASK),
    (
        re.compile(
            r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)"
        ),
        r"\1 " + MASK,
    ),
)


@dataclass(frozen=True)
class Entry:
    """Something that was said.

    Attributes
    ----------
    message : str
    level : str
        `debug`, `info`, `warning`, `error` or `critical`.
    event : str
        What kind of event it is, if who said it named one.
    fields : mapping
        Further values by name.
    """

    message: str
    level: str = "info"
    event: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


class LineReader:
    """Reads the output of one process, line by line.

    Secrets are masked, colours removed, empty lines dropped; a line without a level has that of the
    line before it; a traceback is one entry.
    """

    def __init__(self) -> None:
        self._level = "info"
        self._trace: list[str] = []
        self._is_in_key = False

    def read(self, line: str) -> Iterator[Entry]:
        """What a line completes."""
        text = self._without_keys(without_colour(line)).rstrip()
        if self._trace:
            if _TRACE_GOES_ON.match(text) and len(self._trace) < MOST_LINES:
                self._trace.append(text)
                return
            is_last = _head(text) is None
            if is_last:
                self._trace.append(text)
            yield from self.close()
            if is_last:
                return
        if _TRACE_BEGINS.match(text):
            self._trace = [text]
            return
        head = _head(text)
        if head is not None:
            self._level = head["level"].lower()
            text = head["message"]
        if text.strip() and not text.startswith(("During handling of", "The above exception")):
            yield _structured(text) or Entry(text.strip(), self._level)

    def close(self) -> Iterator[Entry]:
        """What is left when nothing more comes."""
        lines, self._trace = self._trace, []
        if lines:
            last = next(line.strip() for line in reversed(lines) if line.strip())
            yield Entry(last, "error", fields={"traceback": "\n".join(lines)})

    def _without_keys(self, line: str) -> str:
        """Mask secrets, also the lines between the first and the last of a private key."""
        marks = _FRAME.findall(line)
        was_in_key = self._is_in_key
        if marks:
            self._is_in_key = marks[-1] == "BEGIN"
        elif was_in_key and _head(line) is not None:  # the end never came
            self._is_in_key = was_in_key = False
        if not was_in_key:
            return masked(line)
        _, end, rest = line.partition("-----END") if "END" in marks else ("", "", "")
        return f"{MASK} {end}{masked(rest)}" if end else MASK


def masked(text: str) -> str:
    """A text without the secrets that it shows by name: tokens, passwords, private keys."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def without_colour(text: str) -> str:
    """A text without terminal sequences and control characters."""
    return CONTROLS.sub("", text)


def _head(text: str) -> re.Match[str] | None:
    """The beginning of a line with a level and a message, as Flower and uvicorn write them."""
    found = (head.fullmatch(text) for head in _HEADS)
    return next((one for one in found if one is not None), None)


def _structured(text: str) -> Entry | None:
    """An entry that another of our processes wrote as JSON."""
    if not text.startswith('{"event":'):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    level, fields = found.get("level"), found.get("fields")
    return Entry(
        str(found.get("message", "")),
        level if level in LEVELS else "info",
        str(found["event"]),
        fields if isinstance(fields, dict) else {},
    )
