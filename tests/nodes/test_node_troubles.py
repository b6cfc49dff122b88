"""Nodes that cannot join, or are no longer wanted: real processes, and one sentence each."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fedtrade.errors import ConfigurationError, NodeError, OutputError
from fedtrade.nodes.clock import clock_lead_s
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.provision import revoke
from fedtrade.nodes.supernode import SuperNode
from fedtrade.private_files import make_private_folder

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
SHIFTED = """\
import datetime

import flwr.supercore.date

flwr.supercore.date.now = lambda: datetime.datetime.now(datetime.UTC) + datetime.timedelta(
    seconds={seconds}
)
"""


@pytest.fixture(scope="module")
def consortium() -> Iterator[LocalConsortium]:
    """A server and its parties' kits; no node runs."""
    with LocalConsortium(3) as made:
        for node in made.nodes:
            node.stop()
        yield made


@contextmanager
def web_server() -> Iterator[int]:
    server = ThreadingHTTPServer((HOST, 0), SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def complaint(node: SuperNode) -> tuple[str, list[str]]:
    """Why it ends if nobody stops it, and what it has said until then."""
    said: list[str] = []
    node._say = said.append
    end = time.monotonic() + 120.0
    try:
        node.serve(lambda: time.monotonic() > end)
    except NodeError as error:
        return str(error), [line for line in said if " --" not in line]
    finally:
        node.kill()
    raise AssertionError(f"it runs on: {said}")


def node_of(
    consortium: LocalConsortium, folder: Path, number: int = 0, **changes: object
) -> SuperNode:
    settings = consortium.settings_of(number, state=str(folder / "state"), rejoin_s=0, **changes)
    return SuperNode(settings)


@pytest.mark.slow
def test_a_server_that_is_not_there(consortium: LocalConsortium, tmp_path: Path) -> None:
    with closing(socket.create_server((HOST, 0))) as server:
        port = server.getsockname()[1]
    sentence, said = complaint(node_of(consortium, tmp_path, superlink=f"{HOST}:{port}"))
    assert f"the server {HOST}:{port} cannot be reached" in sentence
    assert said == [f"member-0: the server {HOST}:{port} does not answer; trying on."]


@pytest.mark.slow
def test_a_server_that_speaks_no_tls(consortium: LocalConsortium, tmp_path: Path) -> None:
    with web_server() as port:
        sentence, _ = complaint(node_of(consortium, tmp_path, superlink=f"{HOST}:{port}"))
    assert f"{HOST}:{port} does not speak TLS" in sentence


@pytest.mark.slow
def test_a_server_by_another_name(consortium: LocalConsortium, tmp_path: Path) -> None:
    place = f"ip6-localhost:{consortium.port}"
    sentence, _ = complaint(node_of(consortium, tmp_path, superlink=place))
    assert place in sentence


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["warm", "stock"])
def test_clocks_that_differ(
    consortium: LocalConsortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    """Flower takes no signature from more than 5 s ahead; the node ends without a word."""
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(seconds=60))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    code = "installed" if executor == "warm" else "bundle"
    sentence, _ = complaint(node_of(consortium, tmp_path, executor=executor, code=code))
    assert "has shut this node out: its key was taken out, or the clocks differ" in sentence
    # The whole machine's clock, not that of a process alone, is compared with the server's.
    with monkeypatch.context() as patch:
        right = time.time
        patch.setattr(time, "time", lambda: right() + 400.0)
        sentence, _ = complaint(node_of(consortium, tmp_path, executor=executor, code=code))
    assert re.search(r"this machine's clock is (399|40\d) s ahead of that of the server", sentence)


@pytest.mark.slow
def test_a_party_that_is_taken_out_while_it_is_there(
    consortium: LocalConsortium, tmp_path: Path
) -> None:
    node = node_of(consortium, tmp_path, 2)
    said: list[str] = []
    node._say = said.append
    problems: list[BaseException] = []

    def serve() -> None:
        try:
            node.serve(lambda: False)
        except NodeError as error:
            problems.append(error)

    worker = threading.Thread(target=serve, daemon=True)
    worker.start()
    end = time.monotonic() + 60.0
    while not node.joined:
        assert time.monotonic() < end, node.complaint
        time.sleep(0.1)
    revoke(consortium.folder, "member-2")
    assert consortium.superlink.register() == ["member-2 is taken out"]
    worker.join(60.0)
    node.kill()
    assert any("has shut this node out" in line for line in said), said
    (problem,) = problems
    assert "it is not registered or was taken out" in str(problem)


def test_the_servers_clock_is_known(
    consortium: LocalConsortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, authority = consortium.superlink.address, consortium.superlink.authority
    lead_s = clock_lead_s(address, authority)
    assert lead_s is not None
    assert abs(lead_s) < 3.0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 1000.0)
    lead_s = clock_lead_s(address, authority)
    assert lead_s is not None
    assert lead_s == pytest.approx(-1000.0, abs=5.0)
    assert clock_lead_s(f"{HOST}:1", authority) is None


def test_parties_that_are_registered_but_not_noted_are_found(consortium: LocalConsortium) -> None:
    """As after a crash between the one and the other: a key can be registered only once."""
    link = consortium.superlink
    path = link.home / "registered.json"
    before = path.read_text()
    path.unlink()
    assert link.register() == []
    assert json.loads(path.read_text()) == json.loads(before)


def test_a_port_that_is_taken(consortium: LocalConsortium, tmp_path: Path) -> None:
    with closing(socket.create_server((HOST, 0))) as server:
        port = server.getsockname()[1]
        node = node_of(consortium, tmp_path, port=port)
        with pytest.raises(NodeError, match=rf"port={port} cannot be listened on at {HOST}"):
            node.start()


def test_a_runs_own_code_answers_only_where_it_was_asked_for(
    consortium: LocalConsortium, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="set code=bundle too"):
        node_of(consortium, tmp_path, executor="stock", code="installed")


def test_a_folder_that_cannot_be_made(consortium: LocalConsortium, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(OutputError, match=r"the folder .*state cannot be made"):
        node_of(consortium, tmp_path)
    with pytest.raises(OutputError, match="cannot be made"):
        make_private_folder(tmp_path / "state" / "below")
