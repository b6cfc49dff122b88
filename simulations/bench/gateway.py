"""What the gateway costs: calls of a node through it, beside the same calls to the SuperLink.

A SuperLink, the gateway before it and one registered node's client, Flower's own, on this machine:
its empty pulls, and messages of which it sends the pieces that Flower cuts. The SuperLink reads
each piece and keeps none, as nobody waits for it; so nothing but the way is measured.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from conf import compose
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.flower import CONNECTION
from fedtrade.nodes.kits import AUTHORITY, NODE_KEY
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.provision import KITS_FOLDER, SERVER_FOLDER, provision
from fedtrade.nodes.server import Server
from fedtrade.nodes.settings import ServerSettings
from fedtrade.nodes.submit import Submitted
from fedtrade.report.records import Record

__all__ = ["run"]

HOST: Final = "127.0.0.1"
NAME: Final = "member"
GATEWAY, DIRECT = "fedtrade", "flwr-superlink"
MB: Final = 1_000_000
HEARTBEAT_S: Final = 60.0
START_S: Final = 60.0


def run(*, message_mb: float = 10.0, n_pulls: int = 200, n_messages: int = 10) -> list[Record]:
    """Measure empty pulls and the sending of messages, in turns; medians count."""
    calls: dict[tuple[str, str], list[float]] = {}
    n_bytes = int(message_mb * MB)
    with _places() as (node, run_id, clients):
        pull = PullMessagesRequest(node=node)
        kinds: Mapping[str, tuple[int, Callable[[FleetHttpClient], object]]] = {
            "empty-pull": (n_pulls, lambda client: client.PullMessages(pull)),
            "message": (n_messages, lambda client: _send(client, node, run_id, n_bytes)),
        }
        for kind, (n_times, call) in kinds.items():
            for _ in range(n_times + 1):
                for subject, client in clients.items():
                    began = time.perf_counter()
                    call(client)
                    calls.setdefault((kind, subject), []).append(time.perf_counter() - began)
    # The first call opens the connection.
    median = {key: statistics.median(seconds[1:]) for key, seconds in calls.items()}
    return list(_records(median, message_mb))


def _records(median: Mapping[tuple[str, str], float], message_mb: float) -> Iterator[Record]:
    case = f"message-{message_mb:g}MB"
    for subject in (GATEWAY, DIRECT):
        pull_s, message_s = median["empty-pull", subject], median["message", subject]
        yield Record(
            case="empty-pull", subject=subject, metric="call", value=1e3 * pull_s, unit="ms"
        )
        rate = message_mb / message_s
        yield Record(case=case, subject=subject, metric="rate", value=rate, unit="MB/s")
    for kind, name in (("empty-pull", "empty-pull"), ("message", case)):
        ratio = median[kind, GATEWAY] / median[kind, DIRECT]
        yield Record(case=name, subject=GATEWAY, metric=f"time_vs:{DIRECT}", value=ratio, unit="x")


@contextmanager
def _places() -> Iterator[tuple[Node, int, Mapping[str, FleetHttpClient]]]:
    """A registered node, a run that waits for another, and clients of the gateway and behind it."""
    with TemporaryDirectory(prefix="fedtrade-gateway-") as place, ExitStack() as stack:
        folder, port = Path(place), free_port(HOST, 0, "port")
        values = {
            "name": "bench",
            "server": {"address": f"{HOST}:{port}"},
            "participants": [{"name": NAME}, {"name": "other"}],
        }
        provision(Consortium.from_mapping(values), folder)
        settings = ServerSettings(
            folder=str(folder / SERVER_FOLDER), host=HOST, port=port, monitor_port=None
        )
        server = stack.enter_context(Server(settings, lambda _: None, lambda *_: None))
        addresses = {GATEWAY: f"{HOST}:{port}", DIRECT: server.superlink.address}
        kit = folder / KITS_FOLDER / NAME
        key = _key(kit)
        clients = {
            subject: stack.enter_context(_client(address, kit, key))
            for subject, address in addresses.items()
        }
        joining = ActivateNodeRequest(
            public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=HEARTBEAT_S
        )
        node = Node(node_id=clients[GATEWAY].ActivateNode(joining).node_id)
        yield node, stack.enter_context(_waiting_run(server, folder)), clients


@contextmanager
def _waiting_run(server: Server, folder: Path) -> Iterator[int]:
    overrides = ("federation.n_participants=2", f"out={folder / 'run'}", "runtime=superlink")
    settings = compose([*overrides, f"federation.join_timeout_s={START_S * 10}"])
    heard: list[str] = []
    environment = server.superlink.environment
    submitted = Submitted(settings, environment, CONNECTION, folder, heard.append)
    try:
        submitted.process.wait_until(lambda: any("Waiting for" in line for line in heard), START_S)
        yield int(submitted.run_id)
    finally:
        submitted.stop()


def _client(address: str, kit: Path, key: ec.EllipticCurvePrivateKey) -> FleetHttpClient:
    return FleetHttpClient.from_server_address(
        address,
        insecure=False,
        root_certificates=str(kit / AUTHORITY),
        interceptors=[NodeAuthHttpInterceptor(key, key.public_key())],
    )


def _key(kit: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_ssh_private_key((kit / NODE_KEY).read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # as `fedtrade provision` makes it
    return key


def _send(client: FleetHttpClient, node: Node, run_id: int, n_bytes: int) -> None:
    """The pieces of a message, one after the other."""
    for start in range(0, n_bytes, FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE):
        content = bytes(min(FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, n_bytes - start))
        client.PushObject(
            PushObjectRequest(node=node, run_id=run_id, object_id="0", object_content=content)
        )
