"""What a peer's ciphertext looks like before a native parser may see it.

TenSEAL wraps each of SEAL's ciphertexts into a protobuf message: field 1 the number of slots,
field 2 the ciphertext, field 3 (CKKS only) the scale. SEAL in turn writes a header of 16 bytes
(magic 0xA15E, header size, version, compression, two zero bytes, total size; `serialization.h`) in
front of one frame of Zstandard (RFC 8878), which says how long its content is. All of this is
known beforehand for given parameters, so whatever deviates is refused, and nothing can unpack to
more than it should.
"""

import struct

from fedtrade.errors import ProtocolError

__all__ = [
    "check_seal_object",
    "check_size",
    "check_tenseal_vector",
    "scale_bytes",
    "varint_bytes",
]

SEAL_MAGIC = 0xA15E
SEAL_HEADER = struct.Struct("<HBBBBHQ")
SEAL_VERSION = 4
ZSTANDARD = 2

FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
FCS_BYTES = (1, 2, 4, 8)
RESERVED_BLOCK = 3
RLE_BLOCK = 1
MOST_BLOCKS_BEYOND = 8


def check_size(what: str, data: bytes, most: int) -> None:
    """Raise a ProtocolError unless there are 1 to `most` bytes."""
    if not isinstance(data, bytes):
        raise ProtocolError(f"{what} must be bytes, got {type(data).__name__}.")
    if not 0 < len(data) <= most:
        raise ProtocolError(f"{what} has {len(data)} bytes; 1 to {most} are possible.")


def check_tenseal_vector(
    data: bytes, *, n_slots: int, content: int, scale: float | None = None
) -> memoryview:
    """Check the framing of a TenSEAL vector that is one ciphertext, and return its frame.

    Parameters
    ----------
    n_slots : int
        That the vector must have.
    content : int
        Bytes of the ciphertext before compression.
    scale : float or None
        Of a CKKS vector.

    Raises
    ------
    ProtocolError
        Naming what was wrong.
    """
    slots = varint_bytes(n_slots)
    head = b"\x0a" + varint_bytes(len(slots)) + slots + b"\x12"
    tail = scale_bytes(scale)
    if not isinstance(data, bytes):
        raise ProtocolError(f"a ciphertext must be bytes, got {type(data).__name__}.")
    if not data.startswith(head):
        raise ProtocolError(f"the ciphertext is not one of {n_slots} slots.")
    size, start = _read_varint(data, len(head))
    if start + size + len(tail) != len(data):
        raise ProtocolError(
            f"the ciphertext declares {size} bytes, and {len(data) - start - len(tail)} follow."
        )
    if not data.endswith(tail):
        raise ProtocolError(f"the ciphertext does not have the scale {scale}.")
    return check_seal_object(memoryview(data)[start : start + size], content)


def check_seal_object(data: bytes | memoryview, content: int) -> memoryview:
    """Check SEAL's header and the frame of Zstandard behind it, and return the frame.

    Parameters
    ----------
    content : int
        Bytes that the frame must unpack to.

    Raises
    ------
    ProtocolError
        Naming what was wrong.
    """
    if len(data) < SEAL_HEADER.size:
        raise ProtocolError(f"{len(data)} bytes are too few for a header of SEAL.")
    magic, header, major, _minor, mode, zero, size = SEAL_HEADER.unpack_from(data)
    if magic != SEAL_MAGIC or header != SEAL_HEADER.size or zero:
        raise ProtocolError(f"the bytes do not start as an object of SEAL ({magic:#06x}).")
    if major != SEAL_VERSION:
        raise ProtocolError(f"the object is of version {major} of SEAL, not {SEAL_VERSION}.")
    if mode != ZSTANDARD:
        raise ProtocolError(f"compression mode {mode} is not Zstandard's {ZSTANDARD}.")
    if size != len(data):
        raise ProtocolError(f"the object declares {size} bytes and has {len(data)}.")
    frame = memoryview(data)[SEAL_HEADER.size :]
    _check_frame(frame, content)
    return frame


def _check_frame(frame: memoryview, content: int) -> None:
    """One frame of Zstandard, of known content size, and nothing behind it."""
    if frame[:4] != FRAME_MAGIC or len(frame) < 6:
        raise ProtocolError("the content is not a frame of Zstandard.")
    descriptor = frame[4]
    single = bool(descriptor & 0x20)
    if descriptor & 0x1B:  # unused and reserved bits, and a dictionary
        raise ProtocolError(f"the frame's descriptor {descriptor:#04x} is not allowed.")
    width = FCS_BYTES[descriptor >> 6]
    if width == 1 and not single:
        raise ProtocolError("the frame does not say how long its content is.")
    position = 5 + (0 if single else 1)
    declared = int.from_bytes(frame[position : position + width], "little")
    declared += 256 if width == 2 else 0
    if declared != content:
        raise ProtocolError(f"the frame unpacks to {declared} bytes; {content} are expected.")
    end = _blocks_end(frame, position + width, content) + (4 if descriptor & 0x04 else 0)
    if end != len(frame):
        raise ProtocolError(f"the frame ends after {end} bytes, and there are {len(frame)}.")


def _blocks_end(frame: memoryview, position: int, content: int) -> int:
    """Where the last block ends."""
    # A block holds at most 128 KiB; our own compressor fills all but a few.
    for _ in range(content // 1024 + MOST_BLOCKS_BEYOND):
        if position + 3 > len(frame):
            break
        header = int.from_bytes(frame[position : position + 3], "little")
        kind, size = (header >> 1) & 3, header >> 3
        if kind == RESERVED_BLOCK:
            raise ProtocolError("a block of the frame is of a reserved type.")
        position += 3 + (1 if kind == RLE_BLOCK else size)
        if header & 1:
            return position
    raise ProtocolError("the frame has no last block.")


def scale_bytes(scale: float | None) -> bytes:
    """What TenSEAL writes behind a ciphertext: of CKKS its scale, of BFV nothing."""
    return b"" if scale is None else b"\x19" + struct.pack("<d", scale)


def varint_bytes(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of up to 32 bits, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ProtocolError("the ciphertext does not say how long it is.")
