"""Whole runs over registered nodes, some of which are late or refuse, by a SuperLink's rules."""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from clients.client_app import app as client_app
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.nodes.monitor import read_status
from fedtrade.nodes.registry import REGISTRY_VARIABLE, Registry
from fedtrade.secure.masked import IdentityKey
from fedtrade.settings import Settings
from strategies.server_app import app as server_app
from strategies.status import STATUS_VARIABLE
from tests.strategies.link import Link
from tests.strategies.test_own_data import MASKED, config_of
from tests.strategies.test_parties import PEMS, party

Make = Callable[..., Settings]
Delay = Callable[[int, Message], float]

N = 4
TIMEOUT_S = 2.0
NAMES = ("alpha", "beta", "gamma", "delta")
PLAIN = ("aggregation=plain", "evaluation.n_origins=1", "evaluation.pooled=false")
TOLERANT = (*MASKED, "aggregation.dropout_share=0.3")
PATIENCE = (f"federation.reply_timeout_s={TIMEOUT_S}", "federation.join_timeout_s=0.3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a register, everybody's private identity key, and the status."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "registry.json"))
    monkeypatch.setenv(STATUS_VARIABLE, str(tmp_path / "status.json"))
    parties = []
    for k, name in enumerate(NAMES):
        identity = IdentityKey.generate()
        (tmp_path / name).write_bytes(identity.private_bytes)
        public = identity.public_bytes.hex()
        parties.append(party(k, name=name, role="participant", identity=public))
    Registry(parties=tuple(parties)).write(tmp_path / "registry.json")
    return tmp_path


def run(
    settings: Settings,
    delay: Delay = lambda number, message: 0.0,
    *,
    n_nodes: int = N,
    configs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The results of a run."""
    run_config = {"settings": settings.to_json()}
    kept = Path(os.environ[REGISTRY_VARIABLE]).parent
    own = configs or [{"identity-key": str(kept / name)} for name in NAMES]
    link = Link(
        client_app,
        n_nodes,
        names=NAMES,
        keys=PEMS,
        run_config=run_config,
        node_configs=own,
    )
    link.delay = delay
    with link:
        server_app(link.grid, Context(7, 1, {}, RecordDict(), run_config))
    found: dict[str, Any] = json.loads((Path(settings.out) / "results.json").read_text())
    return found


def status(folder: Path) -> dict[str, Any]:
    return dict(read_status(folder / "status.json"))


def round_of(message: Message) -> tuple[int, int]:
    """Episode and round that a message is about; zeros if it is about none."""
    config = message.content.config_records.get("config", {})
    if message.metadata.message_type != "train":
        return 0, 0
    return int(config["episode"]), int(config["server-round"])


def test_a_run_and_how_it_stands(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flwr")
    settings = tiny(*PLAIN)
    results = run(settings)
    assert results["failures"] == []
    found = status(tmp_path)
    assert found["schema"] == 1
    assert (found["state"], found["reason"]) == ("finished", "")
    assert (found["task"], found["mode"], found["out"]) == ("risk", "plain", settings.out)
    assert found["episode"] == {"number": 2, "of": 2, "label": "final model"}
    assert found["round"] == {"number": 2, "of": 2}
    assert [(p["name"], p["number"], p["role"], p["state"]) for p in found["parties"]] == [
        (name, number, "participant", "here") for number, name in enumerate(NAMES)
    ]
    totals = found["totals"]
    assert (totals["rounds"], totals["replies"], totals["refusals"]) == (4, 16, 0)
    assert totals["bytes_up"] > 0
    assert totals["bytes_down"] > totals["bytes_up"]
    assert found["last_round"]["n_replies"] == N
    assert np.isfinite(found["last_round"]["loss"])
    events = [getattr(record, "event", None) for record in caplog.records]
    told = [event for event in events if event is not None]
    assert told == [
        *["joined"] * N,
        *["episode-started", "round-finished", "round-finished"] * 2,
        "run-finished",
    ]


def test_who_refuses_is_named_in_log_status_and_results(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configs: list[dict[str, Any]] = [
        config_of(tmp_path, k, **({"tasks": ("signal",)} if k == 1 else {})) for k in range(N)
    ]
    for config in configs:
        values = json.loads(Path(config["local-settings"]).read_text())
        Path(config["local-settings"]).write_text(json.dumps(values | {"data": None}))
    results = run(tiny(*PLAIN), configs=configs)
    reason = "the run has the task risk, and this participant allows signal (allow.tasks)."
    assert results["failures"] == [
        {"episode": 0, "round": 0, "participant": "1", "party": "beta", "reason": reason}
    ]
    found = status(tmp_path)
    assert {p["name"]: (p["state"], p["reason"]) for p in found["parties"]}["beta"] == (
        "refused",
        reason,
    )
    assert found["refusals"] == [{"party": "beta", "round": 0, "reason": reason}]
    (refusal,) = (r for r in caplog.records if getattr(r, "event", "") == "refused")
    assert refusal.getMessage() == f"beta is left out: {reason}"
    assert vars(refusal)["party"] == "beta"


@pytest.mark.parametrize("mode", [("aggregation=plain",), TOLERANT], ids=["plain", "masked"])
def test_a_participant_that_is_late_costs_one_timeout_and_is_welcomed_back(
    tiny: Make, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    """It is away for long in the second round of the first episode; the run goes on without it."""

    def delay(number: int, message: Message) -> float:
        if number == 2 and round_of(message) == (0, 2):
            return 1.2 * TIMEOUT_S
        return 0.2 if round_of(message)[1] else 0.0

    settings = tiny(*PLAIN, *PATIENCE, *mode, "federation.rounds=5")
    began = time.monotonic()
    results = run(settings, delay)
    took_s = time.monotonic() - began
    rounds = {(e["episode"], e["round"]): e["n_replies"] for e in results["rounds"]}
    assert rounds[0, 1] == N
    assert rounds[0, 2] == N - 1
    slow = [e["seconds"] for e in results["rounds"] if e["seconds"] > 0.9 * TIMEOUT_S]
    assert len(slow) == 1
    assert slow[0] < 1.5 * TIMEOUT_S
    late = [e for e in results["failures"] if e["round"] == 2 and e["episode"] == 0]
    assert {(e["participant"], e["party"]) for e in late} == {("2", "gamma")}
    assert late[0]["reason"] == f"no reply within {TIMEOUT_S:g} s"
    assert {e["party"] for e in results["failures"]} == {"gamma"}
    found = status(tmp_path)
    assert found["parties"][2]["state"] == "here"  # in the final model's rounds, at the latest
    assert found["last_round"]["n_replies"] == N
    assert took_s < 30.0


@pytest.mark.parametrize("mode", [("aggregation=plain",), TOLERANT], ids=["plain", "masked"])
def test_who_is_revoked_meanwhile_is_asked_no_more_and_named(
    tiny: Make, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    path = tmp_path / "registry.json"
    registry = Registry.read(path)
    asked: list[str] = []

    def watch(number: int, message: Message) -> float:
        """Gamma is taken out while it trains in the first round; the server still has its node."""
        if number == 2:
            asked.append(f"{message.metadata.message_type} {round_of(message)}")
            if round_of(message) == (0, 1):
                parties = [
                    p.model_copy(update={"revoked": p.number == 2}) for p in registry.parties
                ]
                Registry(parties=tuple(parties)).write(path)
        return 0.0

    results = run(tiny(*PLAIN, *mode, "federation.rounds=3"), watch)
    assert [e["n_replies"] for e in results["rounds"]] == [N, N - 1, N - 1]
    assert results["failures"][0] == {
        "episode": 0,
        "round": 2,
        "participant": "2",
        "party": "gamma",
        "reason": "gamma has been revoked",
    }
    assert {entry["party"] for entry in results["failures"]} == {"gamma"}
    since = {call.partition(" ")[0] for call in asked[asked.index("train (0, 1)") + 1 :]}
    assert since == ({"query.secure"} if mode is TOLERANT else set())  # stages, nothing of its own
    found = status(tmp_path)
    assert [refusal["reason"] for refusal in found["refusals"]] == ["gamma has been revoked"]
    assert found["last_round"]["n_replies"] == N - 1  # of the final model


def test_rounds_that_are_skipped_for_want_of_members_are_not_used_up(
    tiny: Make, tmp_path: Path
) -> None:
    """Three of four are away in one round, too many for a private sum; they are waited for."""

    def delay(number: int, message: Message) -> float:
        return 1.3 * TIMEOUT_S if number > 0 and round_of(message) == (0, 2) else 0.0

    settings = tiny(*PLAIN, *PATIENCE, *MASKED, "federation.rounds=5")
    results = run(settings, delay)
    skipped = [e for e in results["failures"] if "skipped" in e["reason"] and e["episode"] == 0]
    assert 1 <= len(skipped) <= 3
    last = [e for e in results["rounds"] if (e["episode"], e["round"]) == (0, 5)]
    assert [entry["n_replies"] for entry in last] == [N]


def test_a_party_that_does_not_come_is_named(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(FedtradeError, match=r"3 of 4 nodes came within 0\.3 s, and delta did not"):
        run(tiny(*PLAIN, *PATIENCE), n_nodes=3)
    found = status(tmp_path)
    assert found["state"] == "failed"
    assert found["reason"].startswith("3 of 4 nodes came")
    assert [p["state"] for p in found["parties"]] == ["here"] * 3 + ["missing"]


def test_with_a_quorum_a_run_begins_without_one(tiny: Make, tmp_path: Path) -> None:
    results = run(tiny(*PLAIN, *PATIENCE, "federation.quorum=0.75"), n_nodes=3)
    assert {entry["n_replies"] for entry in results["rounds"]} == {3}
    assert status(tmp_path)["parties"][3]["state"] == "missing"


def test_more_participants_than_are_registered_are_refused(tiny: Make, tmp_path: Path) -> None:
    settings = tiny(*PLAIN)
    federation = settings.federation.model_copy(update={"n_participants": 5})
    evaluation = settings.evaluation.model_copy(update={"public_bars": 0})
    with pytest.raises(ConfigurationError, match="n_participants=5 is more than the register has"):
        run(settings.model_copy(update={"federation": federation, "evaluation": evaluation}))


def test_a_status_that_cannot_be_written_costs_nothing(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(STATUS_VARIABLE, str(tmp_path / "a file" / "status.json"))
    run(tiny(*PLAIN))
    told = [r.getMessage() for r in caplog.records if "nobody can see how" in r.getMessage()]
    assert len(told) == 1


def test_every_message_has_a_time_to_live(tiny: Make) -> None:
    lives: set[float] = set()

    def delay(number: int, message: Message) -> float:
        lives.add(message.metadata.ttl)
        return 0.0

    run(tiny(*PLAIN, *MASKED, "federation.reply_timeout_s=77"), delay)
    assert lives == {77.0}
