import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedtrade.checkpoint import FOLDER
from fedtrade.errors import NodeError
from fedtrade.nodes.monitor import Monitor
from fedtrade.nodes.server import Server
from fedtrade.nodes.settings import ServerSettings

STATUS: dict[str, Any] = {
    "schema": 1,
    "state": "running",
    "run_id": 1,
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


def just_now(ago_s: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat()


class Watched:
    """A monitor, and what it watches."""

    def __init__(self, status: Path, expires: datetime | None = None) -> None:
        self.status, self.is_up = status, True
        self.is_gateway_up = True
        self.monitor = Monitor(
            "127.0.0.1",
            0,
            status=status,
            is_up=lambda: self.is_up,
            is_gateway_up=lambda: self.is_gateway_up,
            expires=expires,
        )
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
    watched.status.write_text(json.dumps(STATUS | {"updated": just_now()}))
    assert watched.get("/health")[0] == 200
    watched.is_up = False
    code, text = watched.get("/health")
    assert (code, json.loads(text)["reason"]) == (503, "the SuperLink does not answer")
    assert watched.metrics()["fedtrade_superlink_up",] == 0.0


def test_health_tells_that_the_gateway_is_gone(watched: Watched) -> None:
    assert watched.metrics()["fedtrade_gateway_up",] == 1.0
    watched.is_gateway_up = False
    code, text = watched.get("/health")
    assert (code, json.loads(text)["reason"]) == (503, "the gateway does not run")
    assert watched.metrics()["fedtrade_gateway_up",] == 0.0


@pytest.mark.parametrize(("days", "code"), [(12.5, 200), (-1.0, 503)])
def test_the_days_of_the_certificate_are_counted(tmp_path: Path, days: float, code: int) -> None:
    watched = Watched(tmp_path / "status.json", datetime.now(UTC) + timedelta(days=days))
    try:
        found = watched.metrics()["fedtrade_certificate_days_left",]
        assert found == pytest.approx(days, abs=0.01)
        status, text = watched.get("/health")
        assert status == code
        assert ("the server's certificate has expired (" in text) is (code == 503)
    finally:
        watched.monitor.stop()


def test_a_run_that_says_nothing_for_long_is_stuck(watched: Watched) -> None:
    watched.status.write_text(json.dumps(STATUS | {"updated": just_now(890)}))
    assert watched.get("/health")[0] == 200
    watched.status.write_text(json.dumps(STATUS | {"updated": just_now(910)}))
    code, text = watched.get("/health")
    assert code == 503
    assert json.loads(text)["reason"].startswith("the run has said nothing for 91")
    for state in ("waiting", "finished"):
        watched.status.write_text(json.dumps(STATUS | {"state": state}))
        assert watched.get("/health")[0] == 200


def totals(**values: int) -> dict[str, Any]:
    return {"totals": STATUS["totals"] | values}


def test_counts_never_go_down_while_a_run_is_resumed(watched: Watched) -> None:
    status = STATUS | {"out": "runs/a"}
    for run_id, given, (rounds, received) in (
        (1, totals(rounds=12, bytes_up=100), (12, 100)),
        (2, {}, (12, 100)),  # before it has counted
        (2, totals(rounds=0, bytes_up=10), (12, 110)),
        (2, totals(rounds=12, bytes_up=30), (12, 130)),
        (2, totals(rounds=13, bytes_up=50), (13, 150)),
        (3, totals(rounds=13, bytes_up=0), (13, 150)),
        (3, totals(rounds=14, bytes_up=7), (14, 157)),
    ):
        without = {key: value for key, value in status.items() if key != "totals"}
        watched.status.write_text(json.dumps(without | {"run_id": run_id} | given))
        metrics = watched.metrics()
        assert metrics["fedtrade_rounds_total",] == rounds
        assert metrics["fedtrade_received_bytes_total",] == received
    watched.status.unlink()
    assert watched.metrics()["fedtrade_rounds_total",] == 14
    other = STATUS | {"out": "runs/b", "run_id": 4} | totals(rounds=1, bytes_up=2)
    watched.status.write_text(json.dumps(other))
    assert watched.metrics()["fedtrade_rounds_total",] == 1
    assert watched.metrics()["fedtrade_received_bytes_total",] == 2


def test_the_age_of_the_checkpoint_is_that_of_its_newest_file(
    watched: Watched, tmp_path: Path
) -> None:
    watched.status.write_text(json.dumps(STATUS | {"out": str(tmp_path / "run")}))
    assert ("fedtrade_checkpoint_age_seconds",) not in watched.metrics()
    folder = tmp_path / "run" / FOLDER
    folder.mkdir(parents=True)
    for name, age in (("run.json", 500.0), ("episode-0", 100.0)):
        (folder / name).write_text("")
        moment = time.time() - age
        os.utime(folder / name, (moment, moment))
    assert 100.0 <= watched.metrics()["fedtrade_checkpoint_age_seconds",] < 160.0


def test_each_metric_says_what_it_is_and_has_its_unit_in_its_name(watched: Watched) -> None:
    watched.status.write_text(json.dumps(STATUS))
    _, text = watched.get("/metrics")
    families = list(text_string_to_metric_families(text))
    assert len(families) >= 14
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith("fedtrade_"), family.name


def test_there_is_nothing_else(watched: Watched) -> None:
    assert watched.get("/../etc/passwd")[0] == 404


def test_a_taken_port_is_named(watched: Watched) -> None:
    port = watched.monitor.port
    with pytest.raises(NodeError, match=rf"server\.monitor_port={port}"):
        Monitor("127.0.0.1", port, status=watched.status, is_up=lambda: True)


def test_a_server_one_of_whose_ports_is_taken_starts_nothing(
    watched: Watched, tmp_path: Path
) -> None:
    port, said = watched.monitor.port, []
    settings = ServerSettings(
        folder=str(tmp_path / "none"), host="127.0.0.1", port=0, monitor_port=port
    )
    inner = settings.model_copy(update={"monitor_port": None, "superlink_port": port})
    for key, chosen in (("monitor_port", settings), ("superlink_port", inner)):
        server = Server(chosen, said.append, lambda *_: None)
        with pytest.raises(NodeError, match=rf"server\.{key}={port} cannot be listened on"):
            server.__enter__()
    assert not said
    assert not (tmp_path / "none").exists()
