"""How the server is: `/health` for whoever watches it, `/metrics` for Prometheus.

All of it is read, at each question, from what the ServerApp writes of its run (`status.json`) and
from whether the SuperLink is there. Nothing of a participant's data is in it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from fedtrade.errors import NodeError

__all__ = ["Monitor", "read_status"]

WAITING: Final = "waiting"
STATES: Final = (WAITING, "running", "finished", "failed")
GAUGES: Final = {
    "episode_number": ("episode", "number", "Episode that is being run, from 0."),
    "episodes": ("episode", "of", "Episodes of the run."),
    "round_number": ("round", "number", "Round of the episode, from 1."),
    "rounds_planned": ("round", "of", "Rounds of an episode."),
    "last_round_seconds": ("last_round", "seconds", "Duration of the last round."),
    "last_round_replies": ("last_round", "n_replies", "Usable replies of the last round."),
    "last_round_failures": ("last_round", "n_failures", "Refusals of the last round."),
    "last_round_loss": ("last_round", "loss", "Mean training loss of the last round."),
}
COUNTERS: Final = {
    "rounds": ("rounds", "Rounds that were finished."),
    "replies": ("replies", "Usable replies."),
    "refusals": ("refusals", "Replies and parties that were refused."),
    "received_bytes": ("bytes_up", "Bytes that parties sent."),
    "sent_bytes": ("bytes_down", "Bytes that parties were sent."),
}


class Monitor:
    """An HTTP server in a thread of its own.

    Parameters
    ----------
    host, port : str, int
        0 takes a free port.
    status : Path
        Where the ServerApp writes how its run stands.
    is_up : callable
        Whether the SuperLink is there.

    Raises
    ------
    NodeError
        If the port is taken.
    """

    def __init__(self, host: str, port: int, *, status: Path, is_up: Callable[[], bool]) -> None:
        registry = CollectorRegistry()
        registry.register(_Status(status, is_up))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/metrics":
                        self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                    case "/health":
                        code, words = health(read_status(status), is_up())
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
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

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


def health(status: Mapping[str, Any], is_up: bool) -> tuple[int, Mapping[str, Any]]:
    """The HTTP status and what is said with it."""
    state = _state(status)
    if not is_up:
        return 503, {"state": state, "reason": "the SuperLink does not run"}
    if state == "failed":
        return 503, {"state": state, "reason": str(status.get("reason", ""))}
    return 200, {"state": state}


class _Status(Collector):
    """Gives the metrics as they are now."""

    def __init__(self, path: Path, is_up: Callable[[], bool]) -> None:
        self._path, self._is_up = path, is_up

    def collect(self) -> Iterator[Metric]:
        status = read_status(self._path)
        yield _gauge("superlink_up", "Whether the SuperLink runs.", float(self._is_up()))
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
        for name, (key, words) in COUNTERS.items():
            value = _number(status.get("totals"), key) or 0.0
            yield CounterMetricFamily(f"fedtrade_{name}", words, value=value)
        age = _age_s(status.get("updated"))
        if age is not None:
            yield _gauge("status_age_seconds", "Since the run last said how it stands.", age)


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


def _age_s(updated: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(updated))
    except ValueError:
        return None
    then = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, time.time() - then.timestamp())
