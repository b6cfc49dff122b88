"""What a machine says of its work: lines to read, or one JSON object a line.

With `log=json`, each line has `time` (ISO 8601, UTC), `level`, `source` (who speaks: `server`,
`superlink`, `gateway`, `run`, or the name of a node), `event` if it is one that has a name,
`message`, and further values under `fields`. Secrets are masked in both formats.
"""

import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from fedtrade.nodes.log_lines import Entry, LineReader, masked

__all__ = ["LOG_VARIABLE", "Log", "write_events_as_json"]

LOG_VARIABLE: Final = "FEDTRADE_LOG"
"""The environment variable in which an app on the same machine finds the format."""

MOST_REMEMBERED: Final = 64
RUN: Final = "run"
OWN_ERRORS: Final = "fedtrade.errors."
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "event"}


class Log:
    """Writes what this process says, and what its children do.

    Parameters
    ----------
    source : str
        What this process is called.
    form : {"text", "json"}
    stream : TextIO or None
        None: standard error.
    """

    def __init__(
        self, source: str, form: Literal["text", "json"] = "text", stream: TextIO | None = None
    ) -> None:
        self.source, self.form, self._stream = source, form, stream
        self._readers: dict[str, LineReader] = {}
        self._events: deque[tuple[str, str]] = deque(maxlen=MOST_REMEMBERED)
        self._lock = threading.Lock()

    def say(self, message: str, *, event: str = "", level: str = "info", **fields: Any) -> None:
        """Say something of this process's own."""
        with self._lock:
            self._write(self.source, Entry(masked(message), level, event, fields), head="")

    def hear(self, source: str, line: str) -> None:
        """Pass on a line of a child's output; callable from several threads."""
        with self._lock:
            reader = self._readers.setdefault(source, LineReader())
            for entry in reader.read(line):
                self._pass_on(source, entry)

    def passed_on(self, source: str) -> Callable[[str], None]:
        """What to do with each line of a child's output."""
        return lambda line: self.hear(source, line)

    def close(self) -> None:
        """Write what was half said."""
        with self._lock:
            for source, reader in self._readers.items():
                for entry in reader.close():
                    self._pass_on(source, entry)

    def _pass_on(self, source: str, entry: Entry) -> None:
        if entry.event:
            if self._is_heard_twice(source, f"{entry.event} {entry.message} {entry.fields}"):
                return
            source = RUN
        self._write(source, entry, head=f"{source}: ")

    def _is_heard_twice(self, source: str, text: str) -> bool:
        """What a run says comes from the SuperLink, and again to whoever follows the run."""
        for other in self._events:
            if other[1] == text and other[0] != source:
                self._events.remove(other)
                return True
        self._events.append((source, text))
        return False

    def _write(self, source: str, entry: Entry, *, head: str) -> None:
        text = _json(source, entry) if self.form == "json" else f"{head}{_text(entry)}"
        print(text, file=self._stream or sys.stderr, flush=True)


def write_events_as_json(logger: logging.Logger) -> None:
    """Let the handlers of a logger write records that have an `event` as JSON, for `Log` to read.

    Other records stay as they are.
    """
    for handler in logger.handlers:
        if not isinstance(getattr(handler.format, "__self__", None), logging.Handler):
            continue  # done before
        handler.format = _formatted(handler.format)  # type: ignore[assignment, method-assign]


def _formatted(
    usual: Callable[[logging.LogRecord], str],
) -> Callable[[logging.LogRecord], str]:
    def formatted(record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        if event is None:
            return usual(record)
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return _dumped(
            {
                "event": str(event),
                "level": record.levelname.lower(),
                "message": record.getMessage(),
                "fields": fields,
            }
        )

    return formatted


def _text(entry: Entry) -> str:
    shown = "" if entry.level in ("debug", "info") else f"{entry.level.upper()}: "
    if entry.message.startswith(OWN_ERRORS):  # a sentence that says it all
        return f"{shown}{entry.message}"
    return f"{shown}{entry.fields.get('traceback', entry.message)}"


def _json(source: str, entry: Entry) -> str:
    content: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": entry.level,
        "source": source,
    }
    if entry.event:
        content["event"] = entry.event
    content["message"] = entry.message
    if entry.fields:
        content["fields"] = entry.fields
    return _dumped(content)


def _dumped(content: dict[str, Any]) -> str:
    return json.dumps(content, default=str, ensure_ascii=False)
