"""Byte strings over a socket, in whatever pieces they come."""

import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted.frames import receive, send

TIMEOUT_S = 20.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("timeout_s", [None, TIMEOUT_S])
def test_parts_arrive_as_they_were(
    pair: tuple[socket.socket, socket.socket], timeout_s: float | None
) -> None:
    """Empty ones, and those that no buffer holds; a socket with a timeout gives them in pieces."""
    ours, theirs = pair
    theirs.settimeout(timeout_s)
    parts = [b"", b"one", os.urandom(3_000_001), b"", os.urandom(700_000)]
    sender = threading.Thread(target=send, args=(ours, parts))
    sender.start()
    assert receive(theirs, 1 << 23) == parts
    sender.join()


@pytest.mark.parametrize("timeout_s", [None, TIMEOUT_S])
@pytest.mark.parametrize("n_sent", [0, 3, 4, 12, 100_000])
def test_an_end_in_between_is_no_message(
    pair: tuple[socket.socket, socket.socket], timeout_s: float | None, n_sent: int
) -> None:
    ours, theirs = pair
    theirs.settimeout(timeout_s)
    whole = struct.pack("<IQ", 1, 100_001) + bytes(100_001)
    ours.sendall(whole[:n_sent])
    ours.close()
    with pytest.raises(EOFError, match="the other side has closed"):
        receive(theirs, 1 << 20)


def test_more_than_expected_is_refused_before_it_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    ours.sendall(struct.pack("<IQQ", 2, 1 << 60, 1))
    with pytest.raises(ProtocolError, match="1152921504606846977 bytes are announced; at most 9 "):
        receive(theirs, 9)
    ours.sendall(struct.pack("<I", 1 << 17))
    with pytest.raises(ProtocolError, match="131072 parts are announced"):
        receive(theirs, 9)
