"""The files of the deployment guide do what the guide says, as far as this machine can tell."""

import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from conf.nodes import client_settings, server_settings
from fedtrade.errors import NodeError
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.flower import CONNECTION, environment, write_connection
from fedtrade.nodes.flower_commands import flwr
from fedtrade.nodes.kits import AUTHORITY, IDENTITIES, IDENTITY_KEY, NODE_KEY
from fedtrade.nodes.monitor import Monitor
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.provision import provision
from fedtrade.nodes.server import Server
from fedtrade.nodes.settings import ClientSettings, ServerSettings
from fedtrade.nodes.supernode import SuperNode

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/nodes"
FILES = PAGES / "files"
HOST = "127.0.0.1"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
ANALYZE = shutil.which("systemd-analyze")
UNITS = ("fedtrade-server.service", "fedtrade-client.service")
COMPOSE = ("compose.server.yaml", "compose.client.yaml")
WORST_EXPOSURE = 20
"""Of 100, by systemd's own reckoning."""

STATUS: dict[str, Any] = {
    "state": "running",
    "episode": {"number": 1, "of": 3},
    "round": {"number": 2, "of": 10},
    "parties": [{"name": "alpha", "role": "participant", "state": "here"}],
    "last_round": {"n_replies": 2, "n_failures": 1, "loss": 1.5, "seconds": 3.5},
    "totals": {},
    "updated": "2020-01-01T00:00:00+00:00",
}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    values = {
        "name": "test",
        "server": {"address": f"{HOST}:8443"},
        "participants": [{"name": "alpha"}],
    }
    provision(Consortium.from_mapping(values), tmp_path)
    return tmp_path / "kits/alpha"


def check_command(words: list[str], kit: Path) -> None:
    """The arguments of `fedtrade server` or `fedtrade client` are ones that it takes."""
    if words[0] == "server":
        run, own = server_settings(words[1:])
        assert own.log == "json"
        assert own.folder == "/var/lib/fedtrade/server"
        assert run.out == "/var/lib/fedtrade/run"
        return
    assert words[0] == "client"
    prices = [] if any(word.startswith("data.path=") for word in words) else ["data=from_run"]
    own_kit = [f"kit={kit}" if word.startswith("kit=") else word for word in words[1:]]
    assert client_settings([*own_kit, *prices]).log == "json"


class TestUnits:
    def unit(self, name: str) -> ConfigParser:
        parser = ConfigParser(strict=False, interpolation=None, delimiters="=")
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read(FILES / name)
        return parser

    @pytest.mark.parametrize("name", UNITS)
    def test_their_command_is_one_that_is_there(self, name: str, kit: Path) -> None:
        words = shlex.split(self.unit(name)["Service"]["ExecStart"])
        assert Path(words[0]).name == "fedtrade"
        assert words[-1] == "$FEDTRADE_ARGUMENTS"
        check_command(words[1:-1], kit)

    @pytest.mark.parametrize("name", UNITS)
    def test_they_may_do_little(self, name: str) -> None:
        service = self.unit(name)["Service"]
        assert service["NoNewPrivileges"] == "yes"
        assert service["ProtectSystem"] == "strict"
        assert service["ReadWritePaths"] == "/var/lib/fedtrade"
        assert service["User"] == "fedtrade"

    @pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
    @pytest.mark.parametrize("name", UNITS)
    def test_systemd_takes_them(self, name: str, tmp_path: Path) -> None:
        text = (FILES / name).read_text()
        here = Path(sys.executable).with_name("fedtrade")
        unit = tmp_path / name
        unit.write_text(text.replace("/opt/fedtrade/bin/fedtrade", str(here)))
        for arguments in (
            ["verify", "--man=no"],
            ["security", "--offline=true", f"--threshold={WORST_EXPOSURE}"],
        ):
            done = subprocess.run(
                [str(ANALYZE), *arguments, str(unit)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert name not in done.stderr, done.stderr


def compose_command() -> list[str] | None:
    """As a plugin of Docker, or by itself."""
    docker, alone = shutil.which("docker"), shutil.which("docker-compose")
    if docker is not None:
        version = [docker, "compose", "version"]
        if not subprocess.run(version, capture_output=True, check=False, timeout=30).returncode:
            return [docker, "compose"]
    return None if alone is None else [alone]


class TestCompose:
    def service(self, name: str) -> dict[str, Any]:
        services = yaml.safe_load((FILES / name).read_text())["services"]
        assert len(services) == 1
        return dict(next(iter(services.values())))

    @pytest.mark.parametrize("name", COMPOSE)
    def test_their_command_is_one_that_is_there(self, name: str, kit: Path) -> None:
        check_command(self.service(name)["command"], kit)

    @pytest.mark.parametrize("name", COMPOSE)
    def test_they_may_do_little(self, name: str) -> None:
        service = self.service(name)
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"].split(":")[0] in (FILES / "Dockerfile").read_text()

    @pytest.mark.parametrize("name", COMPOSE)
    def test_what_they_write_is_on_a_volume(self, name: str) -> None:
        service = self.service(name)
        mounted = [volume.split(":")[1] for volume in service["volumes"]]
        for word in service["command"][1:]:
            _, _, path = word.partition("=")
            assert not path.startswith("/") or path in mounted, word

    def test_the_ports_are_those_of_the_server(self) -> None:
        service = self.service("compose.server.yaml")
        _, own = server_settings(service["command"][1:])
        inside = {port.rpartition(":")[2] for port in service["ports"]}
        assert inside == {str(own.port), str(own.monitor_port)}
        assert f":{own.monitor_port}/health" in service["healthcheck"]["test"][-1]

    @pytest.mark.parametrize("name", COMPOSE)
    def test_compose_takes_them(self, name: str) -> None:
        command = compose_command()
        if command is None:
            pytest.skip("Docker Compose is not installed")
        subprocess.run([*command, "-f", str(FILES / name), "config", "-q"], check=True, timeout=60)

    def test_the_image_has_what_it_copies(self) -> None:
        text = (FILES / "Dockerfile").read_text()
        (copied,) = re.findall(r"^COPY (.*) /tmp/$", text, re.MULTILINE)
        assert copied.split() == ["constraints.txt", "dist/fedtrade-*.whl"]
        assert (ROOT / "constraints.txt").is_file()
        assert "USER fedtrade" in text


def test_every_metric_that_is_named_is_there(tmp_path: Path) -> None:
    """In the pages and in the files for Prometheus."""
    status = tmp_path / "status.json"
    status.write_text(json.dumps(STATUS | {"out": str(tmp_path)}))
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/run.json").write_text("{}")
    monitor = Monitor(
        HOST,
        0,
        status=status,
        is_up=lambda: True,
        is_gateway_up=lambda: True,
        expires=datetime.now(UTC),
    )
    monitor.start()
    try:
        text = httpx.get(f"http://{HOST}:{monitor.port}/metrics").text
    finally:
        monitor.stop()
    there = {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }
    named = {
        name: path
        for path in [*PAGES.glob("*.md"), *FILES.iterdir()]
        for name in re.findall(r"\bfedtrade_[a-z_]+\b", path.read_text())
        if name not in ("fedtrade_superlink", "fedtrade_proxy")  # nginx's
    }
    assert named.keys() <= there, named
    listed = (PAGES / "operations.md").read_text()
    assert [name for name in sorted(there) if f"`{name}" not in listed] == []


def test_prometheus_is_told_where_the_monitor_is() -> None:
    scraped = yaml.safe_load((FILES / "prometheus.yml").read_text())
    _, own = server_settings([])
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{own.monitor_host}:{own.monitor_port}"]}]
    assert scraped["rule_files"] == ["alerts.yml"]
    (group,) = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    assert all({"alert", "expr", "annotations"} <= rule.keys() for rule in group["rules"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_takes_its_files() -> None:
    command = ["promtool", "check", "config", str(FILES / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- nginx in place of the gateway ----------------------------------------------------------------


class Proxied(NamedTuple):
    """A SuperLink, and nginx before it."""

    server: Server
    port: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.server.folder / AUTHORITY))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    port, upstream = free_port(HOST, 0, "port"), free_port(HOST, 0, "port")
    values = {
        "name": "test",
        "server": {"address": f"{HOST}:{port}"},
        "participants": [{"name": "alpha"}],
    }
    provision(Consortium.from_mapping(values), folder)
    (folder / "fedtrade_proxy.conf").write_text(placed("nginx_proxy.conf", folder))
    text = placed("nginx.conf", folder)
    for here, there in ((r"listen 8443 ", f"listen {HOST}:{port} "), (":8000", f":{upstream}")):
        assert here in text
        text = text.replace(here, there)
    (folder / "fedtrade.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary} include {folder}/fedtrade.conf; }}\n"
    )
    command = [NGINX, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    checked = subprocess.run(
        [*command, "-t"], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stderr
    settings = ServerSettings(
        folder=str(folder / "server"), host=HOST, port=upstream, gateway=False, monitor_port=None
    )
    with Server(settings, lambda _: None, lambda *_: None) as server:
        nginx = Process(command, name="nginx", environment=os.environ)
        try:
            nginx.wait_until(lambda: is_listening(port), 10.0)
            yield Proxied(server, port)
        finally:
            nginx.stop()


def placed(name: str, folder: Path) -> str:
    text = (FILES / name).read_text()
    return text.replace("/var/lib/fedtrade", str(folder)).replace("/etc/nginx", str(folder))


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_a_node_joins_through_nginx(proxied: Proxied, tmp_path: Path) -> None:
    kit = proxied.server.folder.parent / "kits/alpha"
    settings = ClientSettings(
        name="alpha",
        number=0,
        superlink=proxied.address,
        root_certificates=str(kit / AUTHORITY),
        key=str(kit / NODE_KEY),
        identity_key=str(kit / IDENTITY_KEY),
        identities=str(kit / IDENTITIES),
        state=str(tmp_path),
    )
    node = SuperNode(settings)
    node.start()
    try:
        node.wait_until_joined(30.0)
    finally:
        node.stop()


def test_through_nginx_nobody_submits_runs(proxied: Proxied, tmp_path: Path) -> None:
    write_connection(tmp_path, proxied.address, proxied.server.folder / AUTHORITY)
    with pytest.raises(NodeError, match="failed"):
        flwr(environment(tmp_path), "list", CONNECTION, "--format", "json")
    own = proxied.server.superlink.environment
    assert flwr(own, "list", CONNECTION, "--format", "json")["runs"] == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("POST", "/health", 403),
        ("GET", "/v1/fleet/pull-messages", 403),
        ("POST", "/v1/control/list-runs", 403),
        ("POST", "/v1/runtime/get-nodes", 403),
        ("POST", "/v1/fleet/../control/list-runs", 403),
        ("POST", "/v1/control/../fleet/pull-messages", 403),
        ("POST", "/v1/fleet/%2e%2e/control/list-runs", 403),
        ("POST", "/v1/fleet/%2E%2E%2Fcontrol/list-runs", 403),
        ("POST", "//v1/control/list-runs", 403),
        ("POST", "/v1/fleet/pull-messages?x=1", 403),
        ("GET", "/docs", 403),
    ],
)
def test_nginx_passes_on_what_nodes_ask_alone(
    proxied: Proxied, method: str, path: str, status: int
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
    with (
        socket.create_connection((HOST, proxied.port), timeout=10.0) as plain,
        proxied.context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(f"{request}\r\n".encode())
        answer = secure.recv(4096)
    assert answer.split(b" ")[1] == str(status).encode(), answer


def test_a_call_that_nginx_passes_on_still_needs_a_signature(proxied: Proxied) -> None:
    with httpx.Client(verify=proxied.context) as client:
        answer = client.post(
            f"https://{proxied.address}/v1/fleet/pull-messages",
            content=b"",
            headers={"Content-Type": "application/protobuf"},
        )
    assert answer.status_code in (401, 403)
    assert "nginx" not in answer.text
