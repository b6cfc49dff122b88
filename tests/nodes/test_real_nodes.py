"""Whole runs over real processes: a SuperLink and SuperNodes on loopback, with TLS and keys."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from conf import compose
from fedtrade.errors import NodeError
from fedtrade.nodes.certificates import Issued, make_authority, make_certificate, make_node_key
from fedtrade.nodes.flower import CONNECTION, environment, write_connection
from fedtrade.nodes.flower_commands import flwr
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.local_settings import write_local_settings
from fedtrade.nodes.private_files import write_private
from fedtrade.nodes.server import COMPLETED, reason_of
from fedtrade.nodes.settings import Limits
from fedtrade.nodes.supernode import SuperNode
from fedtrade.settings import Settings
from simulations import inprocess

N_PARTICIPANTS = 3
DEADLINE_S = 60
SHORT_DEADLINE_S = 20
SMALL = (
    "data.assets=[AAPL,AMD,BAC]",
    "federation=small",
    f"federation.n_participants={N_PARTICIPANTS}",
    "federation.rounds=2",
    f"federation.reply_timeout_s={DEADLINE_S}",
    "evaluation=short",
    "evaluation.test_bars=20",
    "evaluation.bootstrap_resamples=100",
    "progress=plain",
)
MASKED = (
    "aggregation=masked",
    "aggregation.dropout_share=0",
    "aggregation.colluding_share=0",
    "aggregation.adversary=semi_honest",
)


class Lines(list[tuple[str, str]]):
    """What was said, by whom."""

    def of(self, who: str) -> list[str]:
        return [line for speaker, line in self if speaker == who]

    def wait_for(self, who: str, text: str, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.of(who)):
            assert time.monotonic() < deadline, f"{who} never said {text!r}: {self[-20:]}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def lines() -> Lines:
    return Lines()


@pytest.fixture(scope="module")
def consortium(lines: Lines) -> Iterator[LocalConsortium]:
    with LocalConsortium(
        N_PARTICIPANTS, 1, on_line=lambda who, line: lines.append((who, line))
    ) as consortium:
        yield consortium


def settings(out: Path, *overrides: str) -> Settings:
    return compose([*SMALL, f"out={out}", *overrides])


def finished(consortium: LocalConsortium, lines: Lines, chosen: Settings) -> None:
    run_id = consortium.run(chosen)
    status = consortium.superlink.run_status(run_id)
    assert status == COMPLETED, lines.of("run")[-20:]


@pytest.mark.parametrize(
    "mode", ["plain", "masked", pytest.param("encrypted", marks=pytest.mark.slow)]
)
def test_every_trust_mode_gives_the_model_of_a_run_in_process(
    consortium: LocalConsortium, lines: Lines, tmp_path: Path, mode: str
) -> None:
    overrides = MASKED if mode == "masked" else (f"aggregation={mode}",)
    if mode == "encrypted":
        overrides += ("federation.rounds=1",)
    finished(consortium, lines, settings(tmp_path / "real", *overrides))
    inprocess.run(settings(tmp_path / "here", *overrides))
    real, here = (load_file(tmp_path / place / "model.safetensors") for place in ("real", "here"))
    assert real.keys() == here.keys()
    for name, values in here.items():
        np.testing.assert_allclose(real[name], values, rtol=1e-5, atol=1e-7)
    schema = [json.loads((tmp_path / p / "results.json").read_text()) for p in ("real", "here")]
    assert schema[0].keys() == schema[1].keys()
    assert not schema[0]["failures"], schema[0]["failures"]


def test_a_participants_limits_cost_the_run_that_participant_alone(
    consortium: LocalConsortium, lines: Lines, tmp_path: Path
) -> None:
    strict = consortium.settings_of(2, allow=Limits(modes=("masked",)).to_mapping())
    write_local_settings(strict)
    try:
        finished(consortium, lines, settings(tmp_path, "federation.least_holders=2"))
    finally:
        write_local_settings(consortium.settings_of(2))
    results = (tmp_path / "results.json").read_text()
    assert "allow.modes" in results
    assert "aggregation=plain" in results


@pytest.mark.slow
def test_a_lost_node_costs_one_deadline_and_is_welcomed_back(
    consortium: LocalConsortium, lines: Lines, tmp_path: Path
) -> None:
    node = consortium.nodes[2]
    chosen = settings(
        tmp_path, "federation.rounds=3", f"federation.reply_timeout_s={SHORT_DEADLINE_S}"
    )
    worker = threading.Thread(target=finished, args=(consortium, lines, chosen))
    heard = len(lines)
    worker.start()
    deadline = time.monotonic() + 60.0
    while not any(who == "member-2" and "Receiving: train" in line for who, line in lines[heard:]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    node.kill()
    worker.join(240.0)
    assert not worker.is_alive()
    assert (tmp_path / "results.json").exists()
    rounds = json.loads((tmp_path / "results.json").read_text())["rounds"]
    assert max(log["seconds"] for log in rounds) < SHORT_DEADLINE_S + 10.0
    serving = threading.Event()
    back = threading.Thread(target=node.serve, args=(serving.is_set,), daemon=True)
    back.start()
    try:
        deadline = time.monotonic() + 100.0
        while not node.joined:
            assert time.monotonic() < deadline, node.complaint
            time.sleep(0.2)
        finished(consortium, lines, settings(tmp_path / "after"))
        assert not json.loads((tmp_path / "after/results.json").read_text())["failures"]
    finally:
        serving.set()
        back.join(20.0)


def refused(consortium: LocalConsortium, **changes: object) -> str:
    node = SuperNode(consortium.settings_of(0, **changes))
    node.start()
    try:
        with pytest.raises(NodeError) as caught:
            node.wait_until_joined(30.0)
    finally:
        node.kill()
    return str(caught.value)


def test_a_key_that_is_not_registered_is_refused(
    consortium: LocalConsortium, tmp_path: Path
) -> None:
    write_private(tmp_path / "node.key", make_node_key())
    said = refused(consortium, key=str(tmp_path / "node.key"), state=str(tmp_path))
    assert "is not registered" in said


def test_anothers_key_in_use_is_refused(consortium: LocalConsortium, tmp_path: Path) -> None:
    said = refused(consortium, key=consortium.settings_of(1).key, state=str(tmp_path))
    assert "another node uses it" in said


def test_a_server_that_another_authority_signed_is_refused(
    consortium: LocalConsortium, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(make_authority("evil").certificate)
    said = refused(consortium, root_certificates=str(tmp_path / "ca.crt"), state=str(tmp_path))
    assert "has not signed" in said


def test_an_expired_certificate_is_named(consortium: LocalConsortium, tmp_path: Path) -> None:
    server = consortium.folder / "server"
    before = {name: (server / name).read_bytes() for name in ("server.crt", "server.key")}
    place = consortium.folder / "authority"
    authority = Issued((place / "ca.crt").read_bytes(), (place / "ca.key").read_bytes())
    past = datetime.now(UTC) - timedelta(days=10)
    old = make_certificate(authority, "test", ["127.0.0.1"], 5, now=past)
    try:
        (server / "server.crt").write_bytes(old.certificate)
        write_private(server / "server.key", old.key)
        consortium.superlink.stop()
        with pytest.raises(NodeError, match=r"refused: certificate has expired.*renew"):
            consortium.start_superlink()
        consortium.superlink.stop()
    finally:
        for name, content in before.items():
            write_private(server / name, content)
        consortium.start_superlink()


def test_a_stranger_without_the_authority_submits_nothing(
    consortium: LocalConsortium, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(make_authority("evil").certificate)
    write_connection(tmp_path, consortium.superlink.address, tmp_path / "ca.crt")
    with pytest.raises(NodeError, match="failed"):
        flwr(environment(tmp_path), "list", CONNECTION, "--format", "json")


def test_the_reason_of_a_failed_run_is_its_errors_sentence() -> None:
    said = ["Traceback", "fedtrade.errors.DataError: no bar is left.", "Exit Code: 201"]
    assert reason_of(said) == "no bar is left."
    assert reason_of(["Traceback"]) == ""
