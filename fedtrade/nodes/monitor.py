"""How the server is: `/health` for whoever watches it, `/metrics` for Prometheus.

All of it is read, at each question, from what the ServerApp writes of its run (`status.json`), from
the run's checkpoint, and from whether the SuperLink answers. Nothing of a participant's data is in
it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from fedtrade.checkpoint import FOLDER
from fedtrade.errors import NodeError

__all__ = ["Monitor", "read_status"]

WAITING: Final = "waiting"
STATES: Final = (WAITING, "running", "finished", "failed")
GAUGES: Final = {
    "episode_number": ("episode", "number", "Episode that is being run, from 1."),
    "episodes": ("episode", "of", "Episodes of the run."),
    "round_number": ("round", "number", "Last finished round of the episode."),
    "rounds_planned": ("round", "of", "Rounds of an episode."),
    "last_round_seconds": ("last_round", "seconds", "Duration of the last round."),
    "last_round_replies": ("last_round", "n_replies", "Usable replies of the last round."),
    "last_round_failures": ("last_round", "n_failures", "Refusals of the last round."),
    "last_round_loss": ("last_round", "loss", "Mean training loss of the last round."),
}
KEPT: Final = {
    "rounds": ("rounds", "Rounds that were finished."),
    "replies": ("replies", "Usable replies."),
    "refusals": ("refusals", "Replies and parties that were refused."),
}
"""Counted from the checkpoint on where a run is resumed."""

COUNTED_ANEW: Final = {
    "received_bytes": ("bytes_up", "Bytes that parties sent."),
    "sent_bytes": ("bytes_down", "Bytes that parties were sent."),
}
"""Counted from zero where a run is resumed."""

STALE_S: Final = 900.0
DAY: Final = timedelta(days=1)


class Monitor:
    """An HTTP server in a thread of its own.

    Parameters
    ----------
    host, port : str, int
        0 takes a free port.
    status : Path
        Where the ServerApp writes how its run stands.
    is_up : callable
        Whether the SuperLink answers.
    stale_s : float
        After how long without a word a run that should be running counts as stuck.
    is_gateway_up : callable or None
        Whether the gateway runs; None where there is none.
    expires : datetime or None
        The end of the server's certificate.

    Raises
    ------
    NodeError
        If the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        status: Path,
        is_up: Callable[[], bool],
        stale_s: float = STALE_S,
        is_gateway_up: Callable[[], bool] | None = None,
        expires: datetime | None = None,
    ) -> None:
        registry = CollectorRegistry()
        server = _ServerState(is_up, is_gateway_up, expires)
        registry.register(_Status(status, server))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/metrics":
                        self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                    case "/health":
                        code, words = health(read_status(status), server.problem, stale_s)
                        body = json.dumps(words).encode() + b"\n"
                        self._answer(code, "application/json", body)
                    case _:
                        self._answer(404, "text/plain", b"there are /health and /metrics.\n")

            def _answer(self, code: int, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody wants to read that somebody looked."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise NodeError(
                f"server.monitor_port={port} cannot be listened on at {host} ({error.strerror}); "
                "choose another with server.monitor_port=PORT, or null for none."
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def read_status(path: Path) -> Mapping[str, Any]:
    """What the ServerApp wrote; empty as long as there is nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def health(
    status: Mapping[str, Any], problem: str, stale_s: float
) -> tuple[int, Mapping[str, Any]]:
    """The HTTP status and what is said with it.

    Parameters
    ----------
    problem : str
        Of the server; empty if there is none.
    """
    state, age = _state(status), _age_s(status.get("updated"))
    if problem:
        return 503, {"state": state, "reason": problem}
    if state == "failed":
        return 503, {"state": state, "reason": str(status.get("reason", ""))}
    if state == "running" and age is not None and age > stale_s:
        return 503, {"state": state, "reason": f"the run has said nothing for {age:.0f} s"}
    return 200, {"state": state}


@dataclass(frozen=True, slots=True)
class _ServerState:
    """How the server's processes and its certificate are; see `Monitor`."""

    is_up: Callable[[], bool]
    is_gateway_up: Callable[[], bool] | None
    expires: datetime | None

    @property
    def days_left(self) -> float | None:
        """Of the certificate."""
        return None if self.expires is None else (self.expires - datetime.now(UTC)) / DAY

    @property
    def problem(self) -> str:
        """What keeps nodes away; empty if nothing does."""
        if self.expires is not None and self.expires <= datetime.now(UTC):
            return (
                f"the server's certificate has expired ({self.expires:%Y-%m-%d}); `fedtrade "
                "provision renew` makes a new one"
            )
        if not self.is_up():
            return "the SuperLink does not answer"
        if self.is_gateway_up is not None and not self.is_gateway_up():
            return "the gateway does not run"
        return ""


class _Status(Collector):
    """Gives the metrics as they are now."""

    def __init__(self, path: Path, server: _ServerState) -> None:
        self._path, self._server = path, server
        self._counts = _Counts()

    def collect(self) -> Iterator[Metric]:
        status = read_status(self._path)
        server = self._server
        yield _gauge("superlink_up", "Whether the SuperLink answers.", float(server.is_up()))
        if server.is_gateway_up is not None:
            yield _gauge("gateway_up", "Whether the gateway runs.", float(server.is_gateway_up()))
        if server.days_left is not None:
            words = "Days until the server's certificate expires."
            yield _gauge("certificate_days_left", words, server.days_left)
        state = GaugeMetricFamily("fedtrade_run_state", "The run's state.", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(name == _state(status)))
        yield state
        parties = GaugeMetricFamily(
            "fedtrade_party_here", "Whether a party takes part.", labels=["party", "role"]
        )
        for party in _list(status, "parties"):
            names = [str(party.get("name", "")), str(party.get("role", ""))]
            parties.add_metric(names, float(party.get("state") == "here"))
        yield parties
        for name, (record, key, words) in GAUGES.items():
            value = _number(status.get(record), key)
            if value is not None:
                yield _gauge(name, words, value)
        counts = self._counts.at(status)
        for name, (key, words) in (KEPT | COUNTED_ANEW).items():
            yield CounterMetricFamily(f"fedtrade_{name}", words, value=counts[key])
        for name, words, age in (
            ("status", "Since the run last said how it stands.", _age_s(status.get("updated"))),
            ("checkpoint", "Since the run's last checkpoint.", _checkpoint_age_s(status)),
        ):
            if age is not None:
                yield _gauge(f"{name}_age_seconds", words, age)


class _Counts:
    """Totals that never go down while a run is resumed; another run begins at its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: Any = None
        self._run: Any = None
        self._before: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def at(self, status: Mapping[str, Any]) -> Mapping[str, float]:
        """Each count, by its key in the status."""
        totals = status.get("totals")
        keys = [key for key, _ in (KEPT | COUNTED_ANEW).values()]
        now = {key: _number(totals, key) or 0.0 for key in keys}
        with self._lock:
            if status.get("totals") is None:
                return {key: self._last.get(key, 0.0) for key in keys}
            if status.get("out") != self._out:
                self._before, self._last = {}, {}
            elif status.get("run_id") != self._run:
                self._before = self._last
            self._out, self._run = status.get("out"), status.get("run_id")
            for key, _ in COUNTED_ANEW.values():
                now[key] += self._before.get(key, 0.0)
            self._last = {key: max(now[key], self._last.get(key, 0.0)) for key in keys}
            return self._last


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fedtrade_{name}", words, value=value)


def _state(status: Mapping[str, Any]) -> str:
    state = status.get("state")
    return state if state in STATES else WAITING


def _list(status: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = status.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _number(record: Any, key: str) -> float | None:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value)


def _checkpoint_age_s(status: Mapping[str, Any]) -> float | None:
    out = status.get("out")
    if not isinstance(out, str) or not out:
        return None
    try:
        moments = [file.stat().st_mtime for file in (Path(out) / FOLDER).iterdir()]
    except (OSError, ValueError):
        return None
    return max(0.0, time.time() - max(moments)) if moments else None


def _age_s(updated: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(updated))
    except ValueError:
        return None
    then = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, time.time() - then.timestamp())
