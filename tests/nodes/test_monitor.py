import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedtrade.errors import NodeError
from fedtrade.nodes.monitor import Monitor

STATUS: dict[str, Any] = {
    "schema": 1,
    "state": "running",
    "episode": {"number": 1, "of": 3, "label": "origin 2020-01-01"},
    "round": {"number": 2, "of": 10},
    "parties": [
        {"name": "alpha", "role": "participant", "state": "here"},
        {"name": "beta", "role": "participant", "state": "refused", "reason": "no"},
    ],
    "last_round": {"n_replies": 2, "n_failures": 1, "loss": None, "seconds": 3.5},
    "totals": {"rounds": 12, "replies": 24, "refusals": 1, "bytes_up": 100, "bytes_down": 200},
    "updated": "2020-01-01T00:00:00+00:00",
}


class Watched:
    """A monitor, and what it watches."""

    def __init__(self, status: Path) -> None:
        self.status, self.is_up = status, True
        self.monitor = Monitor("127.0.0.1", 0, status=status, is_up=lambda: self.is_up)
        self.monitor.start()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor.port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[tuple[str, ...], float]:
        code, text = self.get("/metrics")
        assert code == 200
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "status.json")
    yield watched
    watched.monitor.stop()


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"state": 3}', '{"totals": [1]}'])
def test_as_long_as_there_is_no_run_it_waits(watched: Watched, text: str | None) -> None:
    if text is not None:
        watched.status.write_text(text)
    assert watched.get("/health") == (200, '{"state": "waiting"}\n')
    metrics = watched.metrics()
    assert metrics["fedtrade_superlink_up",] == 1.0
    assert metrics["fedtrade_run_state", "waiting"] == 1.0
    assert metrics["fedtrade_rounds_total",] == 0.0


def test_metrics_are_those_of_the_status(watched: Watched) -> None:
    watched.status.write_text(json.dumps(STATUS))
    metrics = watched.metrics()
    assert metrics["fedtrade_rounds_total",] == 12.0
    assert metrics["fedtrade_received_bytes_total",] == 100.0
    assert metrics["fedtrade_last_round_seconds",] == 3.5
    assert metrics["fedtrade_party_here", "alpha", "participant"] == 1.0
    assert metrics["fedtrade_party_here", "beta", "participant"] == 0.0
    assert metrics["fedtrade_run_state", "running"] == 1.0
    assert metrics["fedtrade_run_state", "waiting"] == 0.0
    assert metrics["fedtrade_status_age_seconds",] > 1e6
    assert ("fedtrade_last_round_loss",) not in metrics


def test_health_tells_what_is_wrong(watched: Watched) -> None:
    watched.status.write_text(json.dumps(STATUS | {"state": "failed", "reason": "no bar is left"}))
    code, text = watched.get("/health")
    assert (code, json.loads(text)["reason"]) == (503, "no bar is left")
    watched.status.write_text(json.dumps(STATUS))
    assert watched.get("/health")[0] == 200
    watched.is_up = False
    code, text = watched.get("/health")
    assert (code, json.loads(text)["reason"]) == (503, "the SuperLink does not run")
    assert watched.metrics()["fedtrade_superlink_up",] == 0.0


def test_there_is_nothing_else(watched: Watched) -> None:
    assert watched.get("/../etc/passwd")[0] == 404


def test_a_taken_port_is_named(watched: Watched) -> None:
    port = watched.monitor.port
    with pytest.raises(NodeError, match=rf"server\.monitor_port={port}"):
        Monitor("127.0.0.1", port, status=watched.status, is_up=lambda: True)
