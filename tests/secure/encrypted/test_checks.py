"""Framing by hand, and ciphertexts that somebody has tampered with."""

import struct

import pytest

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted.adder import CiphertextSum
from fedtrade.secure.encrypted.checks import check_seal_object, check_size, check_tenseal_vector
from tests.secure.encrypted.mutations import mutations
from tests.secure.encrypted.parties import SCHEMES, draw, scheme_and_keys

MAGIC = b"\x28\xb5\x2f\xfd"


def _frame(content: int, *, block: bytes = b"abc", last: bool = True) -> bytes:
    """A frame of one raw block, with four bytes for the size of its content."""
    head = MAGIC + b"\xa0" + content.to_bytes(4, "little")
    return head + (len(block) << 3 | last).to_bytes(3, "little") + block


def _object(frame: bytes, **changes: int) -> bytes:
    fields = {"magic": 0xA15E, "header": 16, "major": 4, "minor": 3, "mode": 2, "zero": 0}
    fields |= {"size": 16 + len(frame)} | changes
    return struct.pack("<HBBBBHQ", *fields.values()) + frame


def _vector(body: bytes, tail: bytes = b"") -> bytes:
    """Field 1 holds 4096 = 0x80 0x20; field 2 the object."""
    return b"\x0a\x02\x80\x20\x12" + bytes([len(body)]) + body + tail


def test_a_frame_as_it_should_be() -> None:
    check_seal_object(_object(_frame(3)), 3)
    check_tenseal_vector(_vector(_object(_frame(3))), n_slots=4096, content=3)
    tail = b"\x19" + struct.pack("<d", 2.0**40)
    check_tenseal_vector(_vector(_object(_frame(3)), tail), n_slots=4096, content=3, scale=2.0**40)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are too few"),
        (_object(_frame(3), magic=0x1234), "do not start"),
        (_object(_frame(3), header=15), "do not start"),
        (_object(_frame(3), major=3), "version 3 of SEAL, not 4"),
        (_object(_frame(3), mode=0), "compression mode 0 is not"),
        (_object(_frame(3), mode=1), "compression mode 1 is not"),
        (_object(_frame(3), zero=1), "do not start"),
        (_object(_frame(3), size=2**60), f"declares {2**60} bytes and has 31"),
        (_object(_frame(3))[:-1], "declares 31 bytes and has 30"),
        (_object(b"\x78\x9c" + _frame(3)[2:]), "not a frame"),
        (_object(_frame(2**31)), f"unpacks to {2**31} bytes; 3 are expected"),
        (_object(MAGIC + b"\x00\x58" + _frame(3)[9:]), "does not say how long"),
        (_object(MAGIC + b"\xa1" + _frame(3)[5:]), "descriptor 0xa1"),
        (_object(_frame(3) + _frame(2**30)), "ends after 15 bytes, and there are 30"),
        (_object(_frame(3, last=False)), "no last block"),
        (_object(_frame(3)[:-6] + b"\x07\x00\x00abc"), "reserved type"),
        (_object(_frame(3)[:9]), "no last block"),
    ],
)
def test_what_deviates_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        check_seal_object(data, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not one of 4096 slots"),
        (b"\x0a\x02\x80\x40" + _vector(b"")[4:], "not one of 4096 slots"),
        (_vector(_object(_frame(3))) + b"x", "declares 31 bytes, and 32 follow"),
        (_vector(_object(_frame(3)))[:-1], "declares 31 bytes, and 30 follow"),
        (b"\x0a\x02\x80\x20\x12", "does not say how long"),
        (b"\x0a\x02\x80\x20\x12" + b"\xff" * 9, "does not say how long"),
    ],
)
def test_what_deviates_in_the_wrapping_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        check_tenseal_vector(data, n_slots=4096, content=3)


def test_another_scale_and_type_are_refused() -> None:
    data = _vector(_object(_frame(3)), b"\x19" + struct.pack("<d", 2.0**41))
    with pytest.raises(ProtocolError, match="does not have the scale"):
        check_tenseal_vector(data, n_slots=4096, content=3, scale=2.0**40)
    with pytest.raises(ProtocolError, match="must be bytes, got str"):
        check_size("a key", "text", 10)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="must be bytes, got list"):
        check_tenseal_vector([1], n_slots=1, content=1)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="has 11 bytes; 1 to 10"):
        check_size("a key", bytes(11), 10)


def _survives(name: str, weighted: bool, n: int, seed: int) -> int:
    """Feed mutants to a sum; what it accepts or refuses, an honest sum must still come of it."""
    scheme, keys = scheme_and_keys(name, weighted, 2000)
    size = 30
    first, last = draw(scheme, 2, size)
    honest = scheme.encryptor(keys.public).encrypt(first)
    blamed: list[bool] = []
    with CiphertextSum(scheme, keys.public, size) as total:
        for number, mutant in enumerate(mutations(honest[0], n, seed)):
            try:
                total.add(number, [mutant])
            except ProtocolError as error:
                blamed.append(str(error).startswith(f"member {number}: "))
        n_refused = len(blamed)
        assert len(total.rejected) == n_refused
        assert all(blamed)
        total.add(n, scheme.encryptor(keys.public).encrypt(last))
        found = total.close()
        assert n in found.numbers
        assert len(found.numbers) == n - n_refused + 1
    return n_refused


@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_mutants_do_not_stop_a_sum(name: str, weighted: bool) -> None:
    """A flipped bit in the encrypted values is another ciphertext, and as good as any."""
    assert _survives(name, weighted, 80, 1) >= 40


@pytest.mark.slow
@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_many_mutants_do_not_stop_a_sum(name: str, weighted: bool) -> None:
    for seed in range(2, 6):
        assert _survives(name, weighted, 500, seed) >= 250


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """Blocks that repeat one byte 128 KiB times take four bytes each."""
    scheme = scheme_and_keys("bfv", False)[0]
    block = (131072 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    head = MAGIC + b"\xa0" + (131169).to_bytes(4, "little")
    frame = head + block * 20_000
    body = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 2, 0, 16 + len(frame)) + frame
    length = bytearray()
    value = len(body)
    while value > 127:
        length.append(value & 127 | 128)
        value >>= 7
    data = b"\x0a\x02\x80\x40\x12" + bytes([*length, value]) + body
    with pytest.raises(ProtocolError, match=r"unpacks to 262241|no last block|bytes; 1 to"):
        scheme.check_fresh(data)
