"""A consortium on loopback whose nodes find a place."""

import socket
from contextlib import closing

import pytest

from fedtrade.nodes import supernode
from fedtrade.nodes.local_consortium import LocalConsortium


def test_a_node_whose_port_was_taken_meanwhile_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between finding a free one and listening there: with many nodes that happens."""
    ports: list[int] = []
    find = supernode.free_port
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]

        def found(*args: object) -> int:
            ports.append(taken if not ports else find(*args))  # type: ignore[arg-type]
            return ports[-1]

        monkeypatch.setattr(supernode, "free_port", found)
        with LocalConsortium(1, 0) as consortium:
            assert consortium.nodes[0].joined
    assert len(ports) == 2
