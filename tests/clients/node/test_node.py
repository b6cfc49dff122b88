"""A node's processes end together, and Flower's executor takes over where ours cannot be."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedtrade.nodes.flower import environment
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from simulations.bench.nodes import _pss_mib
from tests.nodes.commands import Seen, below, wait_until_gone

HOST = "127.0.0.1"
READY_S = 60.0
OTHER_FLOWER = (
    "import clients.node.pinned as pinned\n"
    "pinned.package_version = '1.42.0'\n"
    "from clients.node.__main__ import main\n"
    "main()"
)
HASTY = "import clients.node.__main__ as node\nnode.GRACE_S = 0.0\nnode.main()"
LARGE = ("libtorch", "libarrow", "/scipy/", "/pandas/")


def options(folder: Path, code: str = "installed") -> list[str]:
    secret = folder / "secret"
    secret.write_bytes(bytes(32))
    return [
        *("--poll-s", "0.2", "--code", code, "--role", "participant", "--secret", str(secret)),
        *("--", "--host", HOST, "--port", str(free_port(HOST, 0, "port"))),
    ]


@contextmanager
def running(folder: Path, *program: str) -> Iterator[Process]:
    """A node that tries to reach a server that there is not; it has its own interface."""
    away = f"{HOST}:{free_port(HOST, 0, 'port')}"
    node = Process(
        [
            *(sys.executable, "-P", *program, *options(folder)),
            *("--insecure", "--superlink", away),
        ],
        name="the node",
        environment=environment(folder, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    try:
        node.wait_until(lambda: any("retrying" in line for line in node.tail), READY_S)
        yield node
    finally:
        node.kill()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Process]:
    with running(tmp_path, "-m", "clients.node") as node:
        yield node


def loaded(process: Seen) -> list[str]:
    """Which large libraries a process has in its memory."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    return [name for name in LARGE if name in maps]


@pytest.mark.parametrize("which", [0, 1])
def test_what_answers_and_the_node_end_together(node: Process, which: int) -> None:
    answering = below(node.pid)
    assert len(answering) == 2
    os.kill(answering[which].pid, signal.SIGKILL)
    assert node.wait(20.0) == 1
    said = "\n".join(node.tail)
    assert "What answers for this node has ended with status -9." in said
    wait_until_gone(answering)


def test_a_node_that_cannot_take_leave_in_time_says_why_it_ends(tmp_path: Path) -> None:
    with running(tmp_path, "-c", HASTY) as node:
        answering = below(node.pid)
        os.kill(answering[1].pid, signal.SIGKILL)
        assert node.wait(20.0) == 1
        assert "What answers for this node has ended with status -9." in "\n".join(node.tail)
    wait_until_gone(answering)


def test_an_idle_node_is_small_and_leaves_nothing_when_it_is_killed(node: Process) -> None:
    answering = below(node.pid)
    assert [loaded(process) for process in answering] == [[], []]
    assert _pss_mib(node.pid) * 2**20 < 250e6
    os.kill(node.pid, signal.SIGKILL)
    wait_until_gone(answering)


def test_whoever_tells_all_of_them_to_stop_lets_the_node_take_leave(node: Process) -> None:
    answering = below(node.pid)
    os.killpg(node.pid, signal.SIGTERM)
    assert node.wait(20.0) == 0
    said = "\n".join(node.tail)
    assert "SuperNode terminated gracefully" in said
    assert "What answers for this node" not in said
    wait_until_gone(answering)


def test_another_flower_answers_a_runs_code_with_its_own_executor(tmp_path: Path) -> None:
    """It is told nothing of ours: here it prints its version, which is all that it is asked."""
    flower = ran_on_another_flower(tmp_path, "bundle")
    assert flower.wait(READY_S) == 0
    said = "\n".join(flower.tail)
    assert "A new process answers each message: Flower is 1.42.0, not 1.41.x." in said
    assert "The SuperNode keeps its own pauses: Flower is 1.42.0, not 1.41.x." in said
    assert "Flower version: 1.41" in said


def test_another_flower_is_refused_where_the_installed_code_must_answer(tmp_path: Path) -> None:
    flower = ran_on_another_flower(tmp_path, "installed")
    assert flower.wait(READY_S) == 1
    assert "code=installed needs the warm executor (Flower is 1.42.0, not 1.41.x)" in (
        flower.last_words
    )


def ran_on_another_flower(folder: Path, code: str) -> Process:
    return Process(
        [sys.executable, "-P", "-c", OTHER_FLOWER, *options(folder, code), "--version"],
        name="another Flower",
        environment=environment(folder, PYTHONPATH=os.pathsep.join(sys.path)),
    )
