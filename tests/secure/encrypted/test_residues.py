"""Residues of SEAL's own ciphertexts, against what SEAL makes of them."""

import dataclasses
import struct
from typing import Any

import numpy as np
import pytest

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted.checks import varint_bytes
from fedtrade.secure.encrypted.lattice import LatticeAccumulator
from fedtrade.secure.encrypted.residues import Residues
from tests.secure.encrypted.parties import SCHEMES, draw, scheme_and_keys

SIZE = 30
FRONT_BYTES = 97
LATTICE = [(name, weighted) for name, weighted in SCHEMES if name != "paillier"]


def _fresh(name: str, weighted: bool, n: int) -> tuple[Any, Any, Residues, list[bytes]]:
    """Scheme, context, form, and chunks of n members, one each."""
    scheme, keys = scheme_and_keys(name, weighted, 20)
    context = scheme.context(keys.public, is_secret=False)
    encryptor = scheme.encryptor(keys.public)
    chunks = [encryptor.encrypt(values)[0] for values in draw(scheme, n, SIZE)]
    return scheme, context, scheme.residues(context), chunks


@pytest.mark.parametrize(("name", "weighted"), LATTICE)
def test_reads_the_words_that_seal_has(name: str, weighted: bool) -> None:
    scheme, context, form, (chunk,) = _fresh(name, weighted, 1)
    residues = form.read(chunk)
    (ciphertext,) = scheme.load(context, chunk).ciphertext()
    places = [0, 1, 17, residues.size // 2 - 1, residues.size // 2, residues.size - 1]
    assert [int(residues.reshape(-1)[k]) for k in places] == [ciphertext[k] for k in places]
    for part in range(2):
        for prime in range(len(form.primes)):
            assert residues[part, prime].max() < form.primes[prime]


@pytest.mark.parametrize(("name", "weighted"), LATTICE)
@pytest.mark.parametrize("is_compressed", [True, False])
def test_seal_reads_what_is_written(name: str, weighted: bool, is_compressed: bool) -> None:
    scheme, context, form, (chunk,) = _fresh(name, weighted, 1)
    residues = form.read(chunk)
    written = form.write(residues, is_compressed=is_compressed)
    (ciphertext,) = scheme.load(context, written).ciphertext()
    flat = residues.reshape(-1)
    assert all(ciphertext[k] == int(flat[k]) for k in range(0, flat.size, 997))
    if is_compressed:
        scheme.check_sum(written)
        assert np.array_equal(form.read(written), residues)


@pytest.mark.parametrize(("name", "weighted"), LATTICE)
def test_a_sum_is_the_one_that_seal_adds_up(name: str, weighted: bool) -> None:
    """Word for word: by additions of SEAL's alone."""
    scheme, context, form, chunks = _fresh(name, weighted, 3)
    weights = (3, 1, 2) if weighted else (1, 1, 1)
    accumulator = LatticeAccumulator(scheme, context)
    accumulator.add([chunks[0]], weights[0])
    accumulator.restore(accumulator.total())
    for chunk, weight in zip(chunks[1:], weights[1:], strict=True):
        accumulator.add([chunk], weight)
    (found,) = accumulator.total()
    vectors = [
        scheme.load(context, c) for c, w in zip(chunks, weights, strict=True) for _ in "x" * w
    ]
    expected = vectors[0] + vectors[1]
    for vector in vectors[2:]:
        expected.add_(vector)
    assert np.array_equal(form.read(found), form.read(expected.serialize()))


def _changed(form: Residues, chunk: bytes, place: tuple[int, int, int], word: int) -> bytes:
    residues = form.read(chunk)
    residues[place] = word
    return form.write(residues)


@pytest.mark.parametrize(("name", "weighted"), LATTICE)
def test_residues_out_of_range_and_open_ciphertexts_are_refused(name: str, weighted: bool) -> None:
    scheme, _, form, (chunk,) = _fresh(name, weighted, 1)
    last = form.primes[-1]
    for place in ((0, -1, 0), (1, -1, -1)):
        form.read(_changed(form, chunk, place, last - 1))
        for word in (last, 2**64 - 1):
            forged = _changed(form, chunk, place, word)
            scheme.check_fresh(forged)
            with pytest.raises(ProtocolError, match="not below its prime"):
                form.read(forged)
    residues = form.read(chunk)
    residues[1] = 0
    with pytest.raises(ProtocolError, match="hides nothing: its second polynomial is zero"):
        form.read(form.write(residues))


@pytest.mark.parametrize(("name", "weighted"), LATTICE)
def test_all_in_front_of_the_residues_is_compared(name: str, weighted: bool) -> None:
    """Whatever byte of it is another, no residue is looked at."""
    form, (chunk,) = _fresh(name, weighted, 1)[2:]
    residues = form.read(chunk)
    assert len(form._front) == FRONT_BYTES
    for place in range(FRONT_BYTES):
        honest = form._front
        changed = bytes([*honest[:place], honest[place] ^ 1, *honest[place + 1 :]])
        forger = dataclasses.replace(form)
        forger.__dict__["_front"] = changed
        with pytest.raises(ProtocolError, match="of other parameters, or of another size"):
            form.read(forger.write(residues))


def test_a_frame_that_does_not_unpack_is_refused() -> None:
    """Its framing is in order, and what is in its blocks is not."""
    scheme, _, form, (chunk,) = _fresh("bfv", True, 1)
    start = chunk.index(b"\x28\xb5\x2f\xfd")
    broken = bytearray(chunk)
    broken[start + 20 : start + 400] = bytes(380)
    scheme.check_fresh(bytes(broken))
    with pytest.raises(ProtocolError, match="cannot be unpacked"):
        form.read(bytes(broken))


def test_a_frame_shorter_than_it_says_is_refused() -> None:
    """Not filled up with what was in memory before."""
    scheme, _, form, (chunk,) = _fresh("bfv", False, 1)
    n_bytes = form.read(chunk).nbytes + FRONT_BYTES
    head = b"\x28\xb5\x2f\xfd\xa0" + n_bytes.to_bytes(4, "little")
    frame = head + (100 << 3 | 1).to_bytes(3, "little") + bytes(100)
    body = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, form.minor, 2, 0, 16 + len(frame)) + frame
    short = b"\x0a\x02\x80\x40\x12" + varint_bytes(len(body)) + body
    scheme.check_fresh(short)
    with pytest.raises(ProtocolError, match="cannot be unpacked"):
        form.read(short)
