"""Whole runs over real processes: a SuperLink and SuperNodes on loopback, with TLS and keys.

One consortium, in which each test stands on what those before have left: the node that is killed in
the middle of a round is started again at once, and has to be a member of the later runs.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedtrade.errors import NodeError
from fedtrade.nodes.certificates import Issued, make_authority, make_certificate, make_node_key
from fedtrade.nodes.flower import CONNECTION, environment, write_connection
from fedtrade.nodes.flower_commands import flwr
from fedtrade.nodes.local_consortium import OPEN
from fedtrade.nodes.local_settings import write_local_settings
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.server import reason_of
from fedtrade.nodes.submit import run_started
from fedtrade.nodes.supernode import JOINED, SuperNode, node_command
from fedtrade.private_files import write_private
from simulations import inprocess
from tests.nodes.loopback import (
    MODES,
    Loopback,
    assert_same_model,
    loopback,
    results_of,
    running,
    serving,
    wait_until,
)

N_PARTICIPANTS = 4
KILLED, STRICT = 2, 3
DEADLINE_S = 20.0
MOST_ROUNDS = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """Four participants and a key holder; one of them takes part in short runs alone."""
    with loopback(tmp_path_factory.mktemp("loopback"), N_PARTICIPANTS, 1) as made:
        limits = OPEN.model_copy(update={"most_rounds": MOST_ROUNDS})
        write_local_settings(made.consortium.settings_of(STRICT, allow=limits.to_mapping()))
        yield made


@pytest.fixture(scope="module")
def cut(place: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a run was that has lost a node in its first round; the node is on its way back.

    The run is longer than what `STRICT` takes part in.
    """
    out = tmp_path_factory.mktemp("cut")
    node = place.consortium.nodes[KILLED]
    chosen = place.settings(
        out,
        *MODES["plain"],
        f"federation.rounds={MOST_ROUNDS + 1}",
        f"federation.reply_timeout_s={DEADLINE_S:g}",
        "federation.join_timeout_s=60",
        "task.local_steps=400",  # so that the node is killed while it trains
    )
    since = len(place.said)
    with running(place, chosen) as is_over:
        place.wait_for(f"member-{KILLED}", "Receiving: train", since=since)
        node.kill()
        with serving(node):
            is_over(400.0)
            yield out


def test_a_round_that_a_node_was_killed_in_is_completed_without_it(cut: Path) -> None:
    rounds = [(log["n_replies"], log["n_failures"]) for log in results_of(cut)["rounds"]]
    n_asked = N_PARTICIPANTS - 1
    assert rounds[0] == (n_asked - 1, 1)
    assert len(rounds) == MOST_ROUNDS + 1
    assert all(n_replies + n_failures == n_asked for n_replies, n_failures in rounds)
    failures = [f for f in results_of(cut)["failures"] if (f["episode"], f["round"]) == (0, 1)]
    assert [f["party"] for f in failures] == [f"member-{KILLED}"]


def test_a_killed_node_costs_one_deadline(cut: Path) -> None:
    first, *others = (log["seconds"] for log in results_of(cut)["rounds"])
    assert first < DEADLINE_S + 3.0
    assert max(others) < DEADLINE_S


def test_a_participants_limits_cost_the_run_that_participant_alone(cut: Path) -> None:
    name = f"member-{STRICT}"
    refused = [f["reason"] for f in results_of(cut)["failures"] if f["party"] == name]
    assert len(refused) == 1  # and it is asked nothing more
    assert f"federation.rounds={MOST_ROUNDS + 1}" in refused[0]
    assert "allow.most_rounds" in refused[0]


def refused(place: Loopback, **changes: object) -> str:
    node = SuperNode(place.consortium.settings_of(0, **changes))
    node.start()
    try:
        with pytest.raises(NodeError) as caught:
            node.wait_until_joined(120.0)
    finally:
        node.kill()
    return str(caught.value)


def test_a_key_that_is_not_registered_is_refused(place: Loopback, tmp_path: Path) -> None:
    write_private(tmp_path / "node.key", make_node_key())
    said = refused(place, key=str(tmp_path / "node.key"), state=str(tmp_path))
    assert "is not registered" in said


def test_anothers_key_in_use_is_refused(place: Loopback, tmp_path: Path) -> None:
    said = refused(place, key=place.consortium.settings_of(1).key, state=str(tmp_path))
    assert "another node uses it" in said


def test_a_server_that_another_authority_signed_is_refused(place: Loopback, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(make_authority("evil").certificate)
    said = refused(place, root_certificates=str(tmp_path / "ca.crt"), state=str(tmp_path))
    assert "has not signed" in said


def test_a_node_without_tls_is_refused(place: Loopback, tmp_path: Path) -> None:
    settings = place.consortium.settings_of(0, rejoin_s=0)
    command = node_command(settings, tmp_path / "settings.json", free_port("127.0.0.1", 0, "port"))
    first = command.index("--root-certificates")
    command[first : first + 2] = ["--insecure"]
    process = Process(command, name="the node", environment=environment(tmp_path))
    try:
        status = process.wait(120.0)
    finally:
        process.kill()
    assert status, list(process.tail)
    assert not any(JOINED in line for line in process.tail)


def test_a_stranger_without_the_authority_submits_nothing(place: Loopback, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(make_authority("evil").certificate)
    write_connection(tmp_path, place.consortium.superlink.address, tmp_path / "ca.crt")
    with pytest.raises(NodeError, match="failed"):
        flwr(environment(tmp_path), "list", CONNECTION, "--format", "json")


def test_a_killed_node_comes_back_as_the_same_participant(place: Loopback, cut: Path) -> None:
    node = place.consortium.nodes[KILLED]
    wait_until(lambda: node.joined, f"it did not come back: {node.complaint}", 240.0)


@pytest.mark.parametrize("mode", ["plain", "masked", "encrypted"])
def test_every_trust_mode_gives_the_model_of_a_run_in_process(
    place: Loopback, tmp_path: Path, mode: str
) -> None:
    """Over all nodes, that which was killed among them."""
    real, here = tmp_path / "real", tmp_path / "here"
    place.run(place.settings(real, *MODES[mode]))
    inprocess.run(place.settings(here, *MODES[mode]))
    assert_same_model((real, here))
    found, expected = results_of(real), results_of(here)
    assert found.keys() == expected.keys()
    assert not found["failures"], found["failures"]
    for results in (found, expected):
        counts = [(log["n_replies"], log["n_failures"]) for log in results["rounds"]]
        assert counts == [(N_PARTICIPANTS, 0)] * 2


def test_an_expired_certificate_is_named(place: Loopback) -> None:
    """The last of them: a node that sees it ends, and nothing starts it again here."""
    consortium = place.consortium
    server = consortium.folder / "server"
    before = {name: (server / name).read_bytes() for name in ("server.crt", "server.key")}
    folder = consortium.folder / "authority"
    authority = Issued((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
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


def test_the_reason_of_a_failed_run_is_its_errors_sentence() -> None:
    said = ["Traceback", "fedtrade.errors.DataError: no bar is left.", "Exit Code: 201"]
    assert reason_of(said) == "no bar is left."
    assert reason_of(["Traceback"]) == ""
    assert run_started("INFO : Successfully started run 4711") == "4711"
    words = "gamma is left out: fedtrade.errors.DataError: all is lost."
    assert reason_of([words]) == ""  # a participant's, within a line
