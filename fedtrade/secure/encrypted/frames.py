"""Lists of byte strings over a socket, as a parent and its child process exchange them."""

import socket
import struct
from collections.abc import Sequence

from fedtrade.errors import ProtocolError

__all__ = ["receive", "send"]

COUNT = struct.Struct("<I")
LENGTH = struct.Struct("<Q")
MOST_PARTS = 1 << 16
MOST_PIECE_BYTES = 1 << 18


def send(connection: socket.socket, parts: Sequence[bytes]) -> None:
    """Send `parts`; raises what the socket raises."""
    lengths = b"".join(LENGTH.pack(len(part)) for part in parts)
    connection.sendall(COUNT.pack(len(parts)) + lengths)
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket, most: int) -> list[bytes]:
    """Receive parts of together no more than `most` bytes.

    Raises
    ------
    EOFError
        If the other side has closed.
    ProtocolError
        If it announces more.
    """
    (n_parts,) = COUNT.unpack(_exactly(connection, COUNT.size))
    if n_parts > MOST_PARTS:
        raise ProtocolError(f"{n_parts} parts are announced; at most {MOST_PARTS} are possible.")
    packed = _exactly(connection, n_parts * LENGTH.size)
    lengths = [LENGTH.unpack_from(packed, i * LENGTH.size)[0] for i in range(n_parts)]
    if sum(lengths) > most:
        raise ProtocolError(f"{sum(lengths)} bytes are announced; at most {most} are expected.")
    return [_exactly(connection, length) for length in lengths]


def _exactly(connection: socket.socket, size: int) -> bytes:
    # At once where the socket blocks: one allocation, and no copy.
    data = connection.recv(size, socket.MSG_WAITALL) if size else b""
    if len(data) == size:
        return data
    pieces, missing = [data], size - len(data)
    while missing:
        if not pieces[-1]:
            raise EOFError("the other side has closed.")
        pieces.append(connection.recv(min(missing, MOST_PIECE_BYTES)))
        missing -= len(pieces[-1])
    return b"".join(pieces)
