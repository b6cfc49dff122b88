"""What a node keeps lies in its own folder, and is whole whatever happens; real processes."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from conf import compose
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.server import COMPLETED
from fedtrade.nodes.supernode import SuperNode
from tests.nodes.commands import below
from tests.nodes.loopback import serving, wait_until

ROOT = Path(__file__).parents[2]
N = 4
OTHER, FULL = 2, 3
"""A node of another version, and one whose disk is full."""

RUN = (
    "data.assets=[AAPL,AMD,BAC,JPM]",
    "federation=small",
    f"federation.n_participants={N}",
    "federation.rounds=1",
    "federation.reply_timeout_s=60",
    "evaluation=short",
    "evaluation.test_bars=20",
    "evaluation.bootstrap_resamples=100",
    "progress=plain",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def consortium() -> Iterator[LocalConsortium]:
    with LocalConsortium(N) as made:
        yield made


@contextmanager
def restarted(consortium: LocalConsortium, number: int) -> Iterator[SuperNode]:
    """A node in its own place again, with the environment that there is at its beginning."""
    consortium.nodes[number].stop()
    node = consortium.nodes[number] = SuperNode(
        consortium.settings_of(number, rejoin_s=120.0), consortium._teller(f"member-{number}")
    )
    with serving(node):
        wait_until(lambda: node.joined, f"member-{number} has not joined", 120.0)
        yield node


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def results(consortium: LocalConsortium, out: Path) -> dict[str, Any]:
    run_id = consortium.run(compose([*RUN, f"out={out}"]))
    assert consortium.superlink.run_status(run_id) == COMPLETED, consortium.said[-20:]
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def memories(node: SuperNode) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (node.folder / "runs").glob("*.state")}


def limit_files(node: SuperNode, n_bytes: int) -> None:
    """Let none of a node's processes write a file that is larger."""
    for pid in (node.pid, *(each.pid for each in below(node.pid))):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (n_bytes, hard))


def test_a_full_disk_and_another_version_cost_the_run_those_nodes(
    consortium: LocalConsortium,
    stack: ExitStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = [tmp_path / name for name in ("home", "tmp", "older")]
    for folder in folders:
        folder.mkdir()
    home, tmp, older = folders
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("TMPDIR", str(tmp))
        full = stack.enter_context(restarted(consortium, FULL))
    metadata = older / "fedtrade-0.0.1.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: fedtrade\nVersion: 0.0.1\n")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(older), str(ROOT))))
        stack.enter_context(restarted(consortium, OTHER))

    first = results(consortium, tmp_path / "first")
    kept = memories(full)
    assert len(kept) == 1
    assert not [*home.rglob("*"), *tmp.rglob("*")]  # all that it keeps is in its own folder
    (reason,) = {entry["reason"] for entry in first["failures"]}
    assert reason.startswith("the server is fedtrade ")
    assert f"{version('fedtrade')}, messages" in reason
    assert "this is fedtrade 0.0.1, messages" in reason

    limit_files(full, 0)
    second = results(consortium, tmp_path / "second")
    (reason,) = {e["reason"] for e in second["failures"]} - {reason}
    assert reason.startswith("what this participant remembers of the run cannot be written")
    assert "free some space in its `state` folder" in reason
    assert str(full.folder) not in json.dumps(second)
    assert memories(full) == kept
    assert full.is_running

    limit_files(full, resource.RLIM_INFINITY)
    third = results(consortium, tmp_path / "third")
    assert {entry["n_replies"] for entry in third["rounds"]} == {N - 1}
    assert len(memories(full)) == 2
