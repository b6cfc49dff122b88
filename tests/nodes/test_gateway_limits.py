"""What the gateway lets nobody do: raw bytes over TLS, and what reaches the server behind it."""

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER

from fedtrade.nodes import signed_calls
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.flower import environment
from fedtrade.nodes.guarded_protocol import address_of
from fedtrade.nodes.kits import AUTHORITY, NODE_KEY
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process
from fedtrade.nodes.provision import provision, revoke
from fedtrade.nodes.registry import Registry
from fedtrade.nodes.server import LISTENING, gateway_command
from fedtrade.nodes.settings import ServerSettings
from fedtrade.nodes.signed_calls import KnownKeys
from tests.nodes.recorder import Call, Recorder

HOST = "127.0.0.1"
LIMITS = {
    "most_call_mib": 2.0,
    "most_unsigned_kib": 4.0,
    "most_connections": 6,
    "headers_s": 1.0,
    "body_s": 0.7,
    "least_kib_per_s": 100.0,
    "unread_s": 1.0,
}
PULL = b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n"
LATE_S = 5.0
"""Until when what should have been cut off must have been, on a busy machine."""


@dataclass
class Place:
    """A gateway, and what is behind it."""

    folder: Path
    port: int
    recorder: Recorder

    @contextmanager
    def connection(self) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context(cafile=str(self.folder / "server" / AUTHORITY))
        with (
            socket.create_connection((HOST, self.port), timeout=LATE_S) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            yield secure

    def answer(self, *pieces: bytes) -> str:
        """What comes back for bytes until the connection is closed, or nothing more comes."""
        with self.connection() as secure:
            for piece in pieces:
                secure.sendall(piece)
            return received(secure)

    def signature(self, name: str) -> bytes:
        return signature(self.folder / "kits" / name / NODE_KEY)


def signature(path: Path, moment: datetime | None = None) -> bytes:
    """Headers of a call, as Flower's nodes sign it."""
    key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stamp = (moment or datetime.now(UTC)).isoformat().encode()
    signed = key.sign(stamp, ec.ECDSA(hashes.SHA256()))
    lines = {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public),
        TIMESTAMP_HEADER: stamp,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(signed),
    }
    return b"".join(name.encode() + b": " + value + b"\r\n" for name, value in lines.items())


def received(secure: ssl.SSLSocket) -> str:
    """All that comes until the end of the first answer's body, or of the connection."""
    found = b""
    with suppress(OSError):
        while chunk := secure.recv(65536):
            found += chunk
            head, end, body = found.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if end and len(body) >= int(length or 0):
                break
    return found.decode("latin-1")


def length(n_bytes: int) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % n_bytes


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("limits")
    port = free_port(HOST, 0, "port")
    members = [{"name": name} for name in ("alpha", "beta", "gamma")]
    server = {"address": f"{HOST}:{port}"}
    provision(
        Consortium.from_mapping({"name": "test", "server": server, "participants": members}), folder
    )
    values = {"folder": str(folder / "server"), "host": HOST, "gateway_limits": LIMITS}
    settings = ServerSettings.from_mapping(values)
    with Recorder(folder / "server") as recorder:
        command = gateway_command(settings, port, recorder.address)
        gateway = Process(command, name="the gateway", environment=environment(folder))
        try:
            gateway.wait_until(lambda: any(LISTENING in line for line in gateway.tail), 30.0)
            yield Place(folder, port, recorder)
            assert gateway.status is None
            assert not any("Traceback" in line for line in gateway.tail), list(gateway.tail)
        finally:
            gateway.stop()


@pytest.fixture(autouse=True)
def calls(place: Place) -> list[Call]:
    """Those that have reached the server."""
    place.recorder.calls.clear()
    place.recorder.answer = b"done"
    return place.recorder.calls


# --- what passes ----------------------------------------------------------------------------------


def test_only_what_flower_needs_of_the_headers_passes(place: Place, calls: list[Call]) -> None:
    others = (
        b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=10.0.0.1\r\n"
        b"X-Real-IP: 10.0.0.1\r\nVia: 1.1 evil\r\nCookie: a=b\r\nConnection: keep-alive, X-Own\r\n"
        b"X-Own: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\n"
        b"Proxy-Authorization: Basic x\r\nX-HTTP-Method-Override: PUT\r\n"
    )
    own = place.signature("alpha") + b"Flwr-Package-Version: 1.41.0\r\nAccept: application/x\r\n"
    assert "200" in place.answer(PULL + others + own + length(4) + b"body").split("\r\n")[0]
    (call,) = calls
    assert (call.method, call.path, call.body) == ("POST", "/v1/fleet/pull-messages", b"body")
    names = {"accept", "content-length", "flwr-package-version"}
    assert names <= set(call.headers)
    assert set(call.headers) - names == {
        FLEET_HTTP_PUBLIC_KEY_HEADER,
        FLEET_HTTP_SIGNATURE_HEADER,
        TIMESTAMP_HEADER,
        *("accept-encoding", "connection", "host", "user-agent"),  # the gateway's own
    }
    assert call.headers["connection"] == "keep-alive"
    assert call.headers["host"] == place.recorder.address
    assert "python-httpx" in call.headers["user-agent"]


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (b"POST https://x/v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n", 403),
        (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n", 403),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n", 403),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n", 200),
        (b"POST /v1/fleet%2Fpull-messages HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/..%2fcontrol HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/./pull-messages HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/pull-messages/../../control/start-run HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/pull-messages;x HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet\\pull-messages HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/pull-messages#x HTTP/1.1\r\nHost: x\r\n", 403),
        (b"POST /v1/fleet/pull-messages HTTP/1.1\r\n", 400),  # no host
        (PULL + b"Host: y\r\n", 400),
        (PULL + b"Content-Length: 1\r\n", 400),
        (PULL + b"Content-Length: +0\r\n", 400),
        (PULL + b"Transfer-Encoding: gzip, chunked\r\n", 400),
        (PULL + b"Transfer-Encoding : chunked\r\n", 400),
        (PULL + b"X: " + b"x" * 100_000 + b"\r\n", 400),
        (PULL + b"X: y\r\n" * 20_000, 400),
    ],
)
def test_what_is_no_plain_call_is_refused(
    place: Place, calls: list[Call], call: bytes, status: int
) -> None:
    found = place.answer(call + b"Content-Length: 0\r\n\r\n")
    assert found.split(" ")[1] == str(status), found
    assert [c.path for c in calls] == (["/health"] if status == 200 else [])
    assert all("upgrade" not in c.headers for c in calls)


@pytest.mark.parametrize("more", [b"", b"Content-Length: 43\r\n"])
def test_what_says_not_how_long_it_is_is_refused(
    place: Place, calls: list[Call], more: bytes
) -> None:
    """So a call and what is hidden in it cannot be read as two."""
    hidden = b"0\r\n\r\nPOST /v1/control/list-runs HTTP/1.1\r\n\r\n"
    found = place.answer(PULL + more + b"Transfer-Encoding: chunked\r\n\r\n" + hidden)
    assert found.split(" ")[1] == "411", found
    assert calls == []


def test_calls_on_one_connection_are_judged_one_by_one(place: Place, calls: list[Call]) -> None:
    second = b"POST /v1/control/list-runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with place.connection() as secure:
        secure.sendall(PULL + length(0) + second)
        first = received(secure)
        statuses = [first.split(" ")[1]]
        rest = first.partition("done")[2] or received(secure)
        statuses.append(rest.split(" ")[1])
    assert statuses == ["200", "403"]
    assert [call.path for call in calls] == ["/v1/fleet/pull-messages"]


# --- how much -------------------------------------------------------------------------------------


def test_an_unsigned_call_is_short(place: Place, calls: list[Call]) -> None:
    assert " 200 " in place.answer(PULL + length(4096) + b"x" * 4096)
    found = place.answer(PULL + length(4097))  # told before the body comes
    assert found.split(" ")[1] == "413"
    assert "has at most 4096 bytes, and this one has 4097" in found
    assert len(calls) == 1


def test_a_signed_call_may_be_long(place: Place, calls: list[Call]) -> None:
    body = bytes(range(256)) * 8192
    assert " 200 " in place.answer(PULL + place.signature("alpha") + length(len(body)), body)
    assert calls[0].body == body
    found = place.answer(PULL + place.signature("alpha") + length(len(body) + 1))
    assert "a call has at most 2097152 bytes, and this one has 2097153" in found
    assert "server.gateway_limits.most_call_mib" in found


def test_a_long_refused_body_is_answered_all_the_same(place: Place, calls: list[Call]) -> None:
    """One that sends all before it reads learns why, rather than that the line is broken."""
    found = place.answer(PULL + place.signature("alpha") + length(3_000_000), b"x" * 3_000_000)
    assert found.split(" ")[1] == "413"
    assert calls == []


def test_another_signature_is_none(place: Place, tmp_path: Path, calls: list[Call]) -> None:
    strangers = tmp_path / "key"
    key = ec.generate_private_key(ec.SECP384R1())
    form = serialization.PrivateFormat.OpenSSH
    none = serialization.NoEncryption()
    strangers.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    own, other = place.signature("alpha"), place.signature("gamma")
    mixed = (
        own.partition(b"flwr-signature")[0]
        + b"flwr-signature"
        + other.partition(b"flwr-signature")[2]
    )
    for headers in (signature(strangers), mixed, own.replace(b"flwr-timestamp", b"flwr-time"), b""):
        assert " 413 " in place.answer(PULL + headers + length(4097))
    assert calls == []


def test_a_revoked_key_is_refused_at_once(place: Place, calls: list[Call]) -> None:
    call = PULL + place.signature("beta") + length(0)
    assert " 200 " in place.answer(call)
    revoke(place.folder, "beta")
    found = place.answer(call)
    assert found.split(" ")[1] == "401"
    assert "the key of beta was taken out." in found
    assert " 200 " in place.answer(PULL + place.signature("alpha") + length(0))
    assert len(calls) == 2


def test_names_of_headers_are_those_of_flower() -> None:
    assert signed_calls.KEY_HEADER == FLEET_HTTP_PUBLIC_KEY_HEADER
    assert signed_calls.SIGNATURE_HEADER == FLEET_HTTP_SIGNATURE_HEADER
    assert signed_calls.TIME_HEADER == TIMESTAMP_HEADER


def test_while_the_register_cannot_be_read_the_last_one_counts(
    place: Place, tmp_path: Path
) -> None:
    path = tmp_path / "registry.json"
    registry = Registry.read(place.folder / "server" / "registry.json")
    registry.write(path)
    keys = KnownKeys(path)
    lines = place.signature("alpha").decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    for text in ("{", None):
        path.unlink() if text is None else path.write_text(text)
        assert keys.has_signed(headers)
    registry.model_copy(update={"parties": registry.parties[1:]}).write(path)
    assert not keys.has_signed(headers)


# --- how slow, and how many -----------------------------------------------------------------------


def seconds_until_closed(secure: ssl.SSLSocket, drip: bytes, pause_s: float = 0.2) -> float:
    """How long one can go on sending a byte now and then."""
    began = time.monotonic()
    secure.settimeout(pause_s)
    while time.monotonic() - began < LATE_S:
        try:
            secure.sendall(drip)
            if not secure.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


SLOW = [
    (b"", b""),  # says nothing
    (b"", b"P"),
    (PULL, b"X: y\r\n"),
    (PULL + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),  # a body that nobody wants
    (PULL + length(1_000_000), b"x"),
]


def test_nobody_keeps_a_connection_by_being_slow(place: Place, calls: list[Call]) -> None:
    def kept_s(begin: bytes, drip: bytes) -> float:
        with place.connection() as secure:
            secure.sendall(begin)
            return seconds_until_closed(secure, drip)

    with ThreadPoolExecutor(len(SLOW)) as pool:
        times = [pool.submit(kept_s, *case) for case in SLOW]
        for case, seconds in zip(SLOW, times, strict=True):
            assert 0.8 < seconds.result() < LATE_S, case
    assert calls == []


def test_a_slow_body_is_refused_in_a_sentence(place: Place, calls: list[Call]) -> None:
    with place.connection() as secure:
        secure.sendall(PULL + length(4000) + b"x")
        found = received(secure)
    assert found.split(" ")[1] == "408", found
    assert "a body may take 0.7 s, and more if it brings 100 KiB a second" in found
    assert calls == []


def test_a_body_that_keeps_coming_has_the_time_it_needs(place: Place, calls: list[Call]) -> None:
    piece = b"x" * 60_000
    with place.connection() as secure:
        secure.sendall(PULL + place.signature("alpha") + length(10 * len(piece)))
        for _ in range(10):  # 1.2 s, where 0.7 s are allowed to one that brings nothing
            time.sleep(0.12)
            secure.sendall(piece)
        assert " 200 " in received(secure)
    assert len(calls[0].body) == 600_000


def test_a_caller_that_does_not_read_is_cut_off(place: Place, calls: list[Call]) -> None:
    place.recorder.answer = b"x" * 40_000_000  # more than the buffers of both ends take
    with place.connection() as secure:
        secure.sendall(PULL + length(0))
        time.sleep(2.5)
        n_bytes = 0
        with suppress(OSError):
            while chunk := secure.recv(1 << 20):
                n_bytes += len(chunk)
    assert n_bytes < len(place.recorder.answer)
    assert len(calls) == 1


def test_one_address_has_no_more_connections_than_it_may(place: Place, calls: list[Call]) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(place.connection())
        with place.connection() as secure:
            found = received(secure)
        assert found.split(" ")[1] == "503"
        assert f"{HOST} has 6 connections already." in found
    end = time.monotonic() + LATE_S
    while " 200 " not in place.answer(PULL + length(0)):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_is_a_network(host: str, address: str) -> None:
    assert address_of(host) == address


def test_a_caller_that_leaves_half_way_is_no_error(place: Place, calls: list[Call]) -> None:
    with place.connection() as secure:
        secure.sendall(PULL + length(4000) + b"x")
    time.sleep(0.2)
    assert " 200 " in place.answer(PULL + length(0))
    assert len(calls) == 1  # and `place` sees that no traceback was logged
