"""The gateway before a real SuperLink: nodes pass, and nobody else does."""

import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from fedtrade.errors import NodeError
from fedtrade.nodes.bundle import write_bundle
from fedtrade.nodes.certificates import Issued, make_certificate
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.flower import CONNECTION, environment, tool, write_connection
from fedtrade.nodes.flower_commands import flwr
from fedtrade.nodes.gateway import is_for_nodes
from fedtrade.nodes.kits import AUTHORITY, IDENTITIES, IDENTITY_KEY, NODE_KEY
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.provision import CERTIFICATE, CERTIFICATE_KEY, provision, revoke
from fedtrade.nodes.registry import REGISTRY
from fedtrade.nodes.server import Server, gateway_command
from fedtrade.nodes.settings import ClientSettings, ServerSettings
from fedtrade.nodes.superlink import answers
from fedtrade.nodes.supernode import JOINED, SuperNode
from tests.nodes.recorder import Recorder

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path", "is_allowed"),
    [
        ("POST", b"/v1/fleet/pull-messages", True),
        ("GET", b"/health", True),
        ("GET", b"/v1/fleet/pull-messages", False),
        ("POST", b"/health", False),
        ("POST", b"/v1/control/start-run", False),
        ("POST", b"/v1/runtime/get-nodes", False),
        ("POST", b"/v1/fleet/../control/start-run", False),
        ("POST", b"/v1/fleet/%2e%2e/control/start-run", False),
        ("POST", b"//v1/fleet/pull-messages", False),
        ("POST", b"/v1/fleet/", False),
        ("POST", b"/v1/fleet/a\nb", False),
        ("POST", b"/v1/fleet/a/b", False),
        ("POST", b"/v1/fleet/-/control", False),
        ("POST", b"/v1/fleet/pull-messages\n", False),
        ("POST", b"https://evil/v1/fleet/pull-messages", False),
        ("POST", b"/V1/FLEET/pull-messages", False),
        ("PUT", b"/v1/fleet/pull-messages", False),
    ],
)
def test_only_the_calls_of_nodes_are_for_nodes(method: str, path: bytes, is_allowed: bool) -> None:
    assert is_for_nodes(method, path) is is_allowed


def consortium(*names: str, port: int) -> Consortium:
    members = [{"name": name} for name in names]
    server = {"address": f"{HOST}:{port}"}
    return Consortium.from_mapping({"name": "test", "server": server, "participants": members})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gateway")
    port = free_port(HOST, 0, "port")
    provision(consortium("alpha", port=port), folder)
    settings = ServerSettings(
        folder=str(folder / "server"), host=HOST, port=port, monitor_port=None
    )
    with Server(settings, lambda _: None, lambda *_: None) as server:
        yield server


def outside(server: Server) -> str:
    return f"{HOST}:{server.settings.port}"


def context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.folder / AUTHORITY))


def settings_of(server: Server, state: Path, **changes: object) -> ClientSettings:
    kit = server.folder.parent / "kits/alpha"
    values = {
        "name": "alpha",
        "number": 0,
        "superlink": outside(server),
        "root_certificates": str(kit / AUTHORITY),
        "key": str(kit / NODE_KEY),
        "identity_key": str(kit / IDENTITY_KEY),
        "identities": str(kit / IDENTITIES),
        "state": str(state),
        "executor": "stock",
        "code": "bundle",
        "rejoin_s": 0,
    }
    return ClientSettings.from_mapping(values | changes)


def test_a_registered_node_joins_through_it(server: Server, tmp_path: Path) -> None:
    node = SuperNode(settings_of(server, tmp_path))
    node.start()
    try:
        node.wait_until_joined(30.0)
    finally:
        node.stop()


def test_an_expired_certificate_is_named(server: Server, tmp_path: Path) -> None:
    """By the operator's own look at its server, and by a node."""
    place = server.folder.parent / "authority"
    authority = Issued((place / "ca.crt").read_bytes(), (place / "ca.key").read_bytes())
    past = datetime.now(UTC) - timedelta(days=10)
    old = make_certificate(authority, "test", [HOST], 5, now=past)
    (tmp_path / CERTIFICATE).write_bytes(old.certificate)
    (tmp_path / CERTIFICATE_KEY).write_bytes(old.key)
    with Recorder(tmp_path) as recorder:
        with pytest.raises(NodeError, match=r"certificate has expired.*`fedtrade provision renew`"):
            answers(recorder.address, context(server))
        node = SuperNode(settings_of(server, tmp_path / "state", superlink=recorder.address))
        with pytest.raises(NodeError, match=r"the certificate of the server .* has expired; its"):
            node.serve(lambda: False)
        assert recorder.calls == []


@pytest.mark.slow
def test_a_node_without_tls_does_not_get_in(server: Server, tmp_path: Path) -> None:
    kit = server.folder.parent / "kits/alpha"
    command = [
        *(tool("flower-supernode"), "--insecure", "--superlink", outside(server)),
        *("--max-wait-time", "3", "--port", str(free_port(HOST, 0, "port"))),
        *("--auth-supernode-private-key", str(kit / NODE_KEY)),
    ]
    node = Process(command, name="the node", environment=environment(tmp_path))
    try:
        end = time.monotonic() + 60.0
        while node.status is None and not any("Giving up" in line for line in node.tail):
            assert time.monotonic() < end, list(node.tail)
            time.sleep(0.1)
        assert not any(JOINED in line for line in node.tail)
    finally:
        node.stop()


def test_a_participant_can_neither_submit_runs_nor_register_nodes(
    server: Server, tmp_path: Path
) -> None:
    write_connection(tmp_path, outside(server), server.folder / AUTHORITY)
    own = environment(tmp_path)
    for arguments in (
        ("list", CONNECTION, "--format", "json"),
        ("supernode", "list", CONNECTION, "--format", "json"),
        ("stop", "1", CONNECTION),
    ):
        with pytest.raises(NodeError, match="failed"):
            flwr(own, *arguments)
    app = tmp_path / "app"
    app.mkdir()
    write_bundle(app)
    with pytest.raises(NodeError, match="failed"):
        flwr(own, "run", str(app), CONNECTION, "--format", "json")
    # The same call works where the operator is, and there is no run.
    own = server.superlink.environment
    assert flwr(own, "list", CONNECTION, "--format", "json")["runs"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/control/start-run"),
        ("POST", "/v1/runtime/get-nodes"),
        ("POST", "/v1/runtime/acquire-task"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("DELETE", "/v1/fleet/pull-messages"),
        ("POST", "/v1/fleet/pull-messages?x=/v1/control/"),
    ],
)
def test_all_else_is_forbidden_in_a_sentence(server: Server, method: str, path: str) -> None:
    with httpx.Client(verify=context(server)) as client:
        answer = client.request(method, f"https://{outside(server)}{path}", content=b"")
        assert answer.status_code == 403
        assert "only nodes" in answer.text
        assert client.get(f"https://{outside(server)}/health").status_code == 200


def raw(server: Server, request: bytes) -> bytes:
    with (
        socket.create_connection((HOST, server.settings.port), timeout=10.0) as plain,
        context(server).wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(request)
        return secure.recv(4096)


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST /v1/fleet/../control/start-run HTTP/1.1",
        b"POST /v1/fleet/%2e%2e/control/start-run HTTP/1.1",
        b"POST //v1/control/start-run HTTP/1.1",
    ],
)
def test_tricks_with_the_path_are_forbidden(server: Server, request_line: bytes) -> None:
    answer = raw(
        server, request_line + b"\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert answer.split(b" ")[1] in (b"403", b"400")


def test_a_node_without_a_signature_is_refused_by_the_superlink(server: Server) -> None:
    with httpx.Client(verify=context(server)) as client:
        answer = client.post(f"https://{outside(server)}/v1/fleet/pull-messages", content=b"")
    assert answer.status_code >= 400


def test_a_call_without_tls_gets_nothing(server: Server) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{outside(server)}/health", timeout=5.0)


@pytest.mark.slow
def test_a_register_that_changes_is_taken_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(server, "_say", said.append)
    folder, home = server.folder.parent, server.superlink.home
    server.keep_up_beside()
    assert said == []
    provision(consortium("alpha", "beta", port=server.settings.port), folder)
    server.keep_up_beside()
    assert said == ["beta is registered."]
    noted = (home / "registered.json").read_text()
    whole = (server.folder / REGISTRY).read_text()
    (server.folder / REGISTRY).write_text(whole[:-20])
    server.keep_up_beside()
    server.keep_up_beside()
    (sentence,) = said[1:]
    assert sentence.startswith("The register has changed and is not taken up: ")
    assert "cannot be read as a register of parties" in sentence
    (server.folder / REGISTRY).write_text(whole)
    revoke(folder, "beta")
    server.keep_up_beside()
    assert said[2:] == ["beta is taken out."]
    # As after a crash between taking it out and noting that.
    (home / "registered.json").write_text(noted)
    assert server.superlink.register() == ["beta is taken out"]
    assert "beta" not in json.loads((home / "registered.json").read_text())


def test_a_dead_superlink_is_told_in_a_sentence(server: Server) -> None:
    port, nowhere = free_port(HOST, 0, "port"), free_port(HOST, 0, "port")
    command = gateway_command(server.settings, port, f"{HOST}:{nowhere}")
    process = Process(command, name="the gateway", environment=os.environ)
    try:
        process.wait_until(lambda: any("Uvicorn running" in line for line in process.tail), 20.0)
        with httpx.Client(verify=context(server)) as client:
            answer = client.get(f"https://{HOST}:{port}/health")
        assert (answer.status_code, answer.text[:13]) == (502, "the SuperLink")
    finally:
        process.stop()
