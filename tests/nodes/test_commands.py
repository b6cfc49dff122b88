"""`fedtrade server`, `fedtrade client` and `fedtrade run` as an operator and participants use them.

One consortium, whose participants' nodes run all the time.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conf import compose
from fedtrade.folder_lock import held
from fedtrade.nodes.bundle import write_bundle
from fedtrade.nodes.flower import environment, tool
from simulations import inprocess
from tests.nodes.commands import (
    HOST,
    Command,
    Place,
    make_place,
    processes_that_name,
    wait_until_gone,
)
from tests.nodes.loopback import assert_same_model

RUN = (
    "aggregation=plain",
    "federation=small",
    "federation.rounds=2",
    "federation.reply_timeout_s=30",
    "federation.join_timeout_s=60",
    "evaluation=short",
    "evaluation.test_bars=20",
    "evaluation.bootstrap_resamples=100",
    "task.alone_steps=5",
    "task.local_steps=3",
)
NAMES = ("alpha", "beta")
RUN_S = 240.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"), NAMES)


@pytest.fixture(scope="module")
def clients(place: Place) -> Iterator[dict[str, Command]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(place.client(name)) for name in NAMES}


@pytest.fixture(scope="module")
def cut(place: Place, clients: dict[str, Command]) -> Command:
    """A server that was killed behind the first round of its run."""
    with place.server(*RUN, f"out={place.folder / 'run'}") as server:
        server.wait_for("Round 1 of 2", RUN_S)
        server.process.send(signal.SIGKILL)
        server.process.wait(10.0)
        wait_until_gone(processes_that_name(place.server_folder))
    return server


@pytest.fixture(scope="module")
def finished(place: Place, clients: dict[str, Command], cut: Command) -> Command:
    """The same command again, which nothing disturbed."""
    with place.server(*RUN, f"out={place.folder / 'run'}") as server:
        server.wait(RUN_S)
    return server


def test_a_run_goes_from_start_to_results(
    place: Place, clients: dict[str, Command], finished: Command
) -> None:
    assert finished.process.status == 0, finished.said
    results = json.loads((place.folder / "run/results.json").read_text())
    assert not results["failures"]
    assert finished.lines[-1] == f"Report: {place.folder / 'run/report.html'}"
    for client in clients.values():
        assert client.process.status is None, client.said


def test_a_run_whose_server_was_killed_comes_to_the_model_of_one_in_process(
    place: Place, cut: Command, finished: Command
) -> None:
    """And the round that was finished before is not done again."""
    assert finished.wait_for("Going on from the checkpoint")
    rounds = [line for line in finished.lines if " Round " in line or " Episode " in line]
    assert [re.sub(r".* (Episode|Round) (\d) .*", r"\1 \2", line) for line in rounds] == [
        *("Episode 1", "Round 2", "Episode 2", "Round 1", "Round 2")
    ]
    inprocess.run(
        compose(
            [
                *RUN,
                *("data=csv", f"data.path={place.prices}"),
                *("evaluation.pooled=false", "evaluation.public_bars=0"),
                *(f"federation.n_participants={len(NAMES)}", "progress=none"),
                f"out={place.folder / 'here'}",
            ]
        )
    )
    assert_same_model((place.folder / "run", place.folder / "here"))


def test_flowers_commands_are_printed(
    place: Place, clients: dict[str, Command], cut: Command, finished: Command
) -> None:
    link = finished.wait_for("flower-superlink ")
    for option in ("--ssl-certfile", "--enable-supernode-auth", "--database"):
        assert option in link
    assert f"{HOST} --port {place.port}" not in link  # it is behind the gateway
    for server, n_registered in ((cut, len(NAMES)), (finished, 0)):
        lines = [line for line in server.lines if " flwr supernode register " in line]
        assert len(lines) == n_registered
    assert "--stream" in next(line for line in finished.lines if " flwr run " in line)
    said = clients["alpha"].lines
    assert any("--auth-supernode-private-key" in line for line in said)


def test_participants_log_says_who_asked_for_what(
    clients: dict[str, Command], finished: Command
) -> None:
    assert clients["alpha"].wait_for("alpha has joined")
    assert clients["alpha"].wait_for("Receiving: train")


def test_one_node_a_kit(place: Place, clients: dict[str, Command], finished: Command) -> None:
    with place.client("alpha") as second:
        assert second.wait() == 2
        assert "is used by another process of fedtrade" in second.lines[-1]
    assert clients["alpha"].process.status is None


def test_a_node_that_is_told_to_stop_leaves_nothing_and_comes_back(
    place: Place, finished: Command
) -> None:
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with place.client("beta", f"state={place.folder / 'state'}") as client:
            client.wait_for("Starting Flower SuperNode")
            time.sleep(1.0)
            family = client.family()
            assert len(family) >= 2
            client.process.send(number)
            assert client.wait(20.0) == status
            wait_until_gone(family)


def test_a_second_server_in_a_folder_is_refused(place: Place, finished: Command) -> None:
    with place.server("--only", "server.gateway=false") as server:
        server.wait_for("Submit runs with: ")
        with place.server("--only", "server.port=0") as second:
            assert second.wait() == 2
        assert "is used by another process of fedtrade" in second.lines[-1]
        with place.server("--only") as third:
            assert third.wait() == 2
        assert third.lines == [
            f"Error: server.port={place.port} cannot be listened on at {HOST} (Address already in "
            "use); stop what listens there, or choose another with server.port=PORT."
        ]
        server.process.send(signal.SIGINT)
        assert server.wait() == 0


def test_a_run_in_a_folder_that_another_one_writes_to_is_refused(
    place: Place, finished: Command
) -> None:
    out = place.folder / "run"
    with held(out, "out"), place.server(*RUN, f"out={out}", "--fresh") as server:
        assert server.wait() == 2
    assert server.lines == [
        f"Error: out={out} is used by another process of fedtrade (process {os.getpid()}); stop "
        "that one first, or choose another folder with out=DIR."
    ]
    assert (out / "results.json").exists()


@pytest.mark.slow
def test_runs_are_submitted_to_a_server_that_is_there(
    place: Place, clients: dict[str, Command], finished: Command
) -> None:
    """By `fedtrade run --on`, and by Flower's own command with the bundle."""
    own = ("data=own", "partition=own", "evaluation.pooled=false", "evaluation.public_bars=0")
    chosen = (*RUN, *own, f"federation.n_participants={len(NAMES)}")
    with place.server("--only") as server:
        told = server.wait_for("Submit runs with: ")
        home = Path(told.partition("FLWR_HOME=")[2].split()[0])
        arguments = ("run", "--on", told.split()[-1], *chosen, f"out={place.folder / 'on'}")
        submitted = Command(*arguments, home=home)
        assert submitted.wait(RUN_S) == 0, submitted.said
        with held(place.folder / "on", "out"):
            refused = Command(*arguments, home=home)
            assert refused.wait(RUN_S) == 2
        assert f"out={place.folder / 'on'} is used by another process" in refused.lines[-1]
        bundle = write_bundle(place.folder / "bundle")
        config = place.folder / "run.toml"
        settings = compose([*chosen, f"out={place.folder / 'flwr'}"]).to_json()
        config.write_text(f"settings = {json.dumps(settings)}\n")
        command = (tool("flwr"), "run", bundle, told.split()[-1], "--stream")
        done = subprocess.run(
            [*command, "--run-config", config],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=RUN_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for out in ("on", "flwr"):
        assert_same_model((place.folder / out, place.folder / "run"))


@pytest.mark.slow
def test_whatever_is_killed_the_run_goes_on_to_the_same_model(
    place: Place, clients: dict[str, Command], finished: Command
) -> None:
    overrides = (*RUN, f"out={place.folder / 'cut'}")
    with place.server(*overrides) as server:
        server.wait_for("Round 1 of 2", RUN_S)
        server.process.send(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM
        assert "the same command goes on" in server.lines[-1]
    with place.server(*overrides) as server:
        server.wait_for("Going on from the checkpoint")
        server.wait_for("Round 2 of 2", RUN_S)
        family = server.family()
        server.process.send(signal.SIGKILL)
        wait_until_gone(family)
    with place.server(*overrides) as server:
        server.wait_for("Episode 2 of 2", RUN_S)
        server.wait_for("Round 1 of 2", RUN_S)
        os.kill(server.pid("flower-superlink"), signal.SIGKILL)
        server.wait_for("The SuperLink has died; starting it again.")
        since = len(server.lines)
        os.kill(server.pid("fedtrade.nodes.gateway"), signal.SIGKILL)
        server.wait_for("The gateway has died; starting it again.")
        server.wait_for("Going on from the checkpoint", RUN_S, since=since)
        server.wait_for("beta has joined", RUN_S, since=since)
        os.kill(server.pid("flwr-serverapp"), signal.SIGKILL)
        server.wait_for("has died; starting it again.", RUN_S, since=since)
        assert server.wait(RUN_S) == 0, server.said
    assert_same_model((place.folder / "cut", place.folder / "run"))


@pytest.mark.slow
def test_a_killed_node_comes_back_by_itself(
    place: Place, clients: dict[str, Command], finished: Command
) -> None:
    """The server believes in the earlier process for most of a minute."""
    client = clients["alpha"]
    with place.server("--only"):
        since = len(client.lines)
        client.wait_for(f"the server {HOST}:{place.port} answers")
        os.kill(client.pid("clients.node"), signal.SIGKILL)
        client.wait_for("Trying again.", since=since)
        client.wait_for("alpha has joined", 120.0, since=since)
