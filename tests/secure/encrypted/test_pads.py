"""Pads: the same on both sides, known answers, and uniform to the last residue."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fedtrade.errors import ProtocolError, SignatureError
from fedtrade.secure.encrypted import PadKeys, sign_pad_key, verify_pad_key
from fedtrade.secure.encrypted.pads import WidePads, WordPads
from fedtrade.secure.masked.keys import AgreementKey, IdentityKey
from tests.secure.encrypted.parties import RUN, SCHEMES, scheme_and_keys

KEY = bytes(range(32))
PRIME = 2**44 - 17
LOOSE = 2**61 + 15
"""Nearly half of the words of its length are beyond it."""

KNOWN_FIRST = [
    [10079046766834, 16344139101097, 10216359222768, 2509093205670],
    [250600057912532900, 368973160756503359, 1359134023441713969, 938780339124196324],
]
KNOWN_SECOND = [
    [4933764475833, 16550672981220, 10236069551390, 1788131028427],
    [2279494551091461484, 1957755873295486575, 840461891306519842, 2218112490354198184],
]
KNOWN_WIDE = "1ea22bf303cc84f5eb2aac223d66ca314d9e4ae2a57a318e0b6fd1c0937c351d"
KNOWN_KEY = "0446866f67bcac71af804e240ec075528163f23b983b3ceb4aaf26161a5c26cb"


def _stream(key: bytes, row: int, size: int) -> bytes:
    """AES-256-CTR from a counter that begins with the row's number."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(row.to_bytes(8, "big") + bytes(8)))
    return cipher.encryptor().update(bytes(size))


def _by_hand(key: bytes, row: int, modulus: int, n: int) -> list[int]:
    """Word by word, with Python's integers."""
    found: list[int] = []
    stream = _stream(key, row, 100 * n + 1000)
    bits = modulus.bit_length()
    for i in range(0, len(stream) - 7, 8):
        word = int.from_bytes(stream[i : i + 8], "little") & (2**bits - 1)
        found += [word] if word < modulus else []
    return found[:n]


def test_known_answers() -> None:
    """Whoever changes these leaves parties of two versions unable to add up."""
    words = WordPads((PRIME, LOOSE), 4)
    first, second = words.total([(KEY, 1)], 2)
    assert words.words(first).tolist() == KNOWN_FIRST
    assert words.words(second).tolist() == KNOWN_SECOND
    (wide,) = WidePads(2**1023 + 1155).total([(KEY, 1)], 1)
    assert hashlib.sha256(wide).hexdigest() == KNOWN_WIDE


def test_the_key_of_a_pad_is_known() -> None:
    """X25519 of two fixed keys, and HKDF by run, kind, both keys, member, session and subject."""
    one, other = AgreementKey(bytes(range(32))), AgreementKey(bytes(range(1, 33)))
    found = PadKeys(one, other.public_bytes, RUN, 3, "training").of(5)
    assert found.hex() == KNOWN_KEY


@pytest.mark.parametrize("modulus", [3, 1000, PRIME, LOOSE, 2**62 - 57])
def test_rows_are_the_streams_words_below_the_modulus(modulus: int) -> None:
    pads = WordPads((modulus, 7), 50)
    for chunk, pad in enumerate(pads.total([(KEY, 1)], 3)):
        first, second = pads.words(pad).tolist()
        assert first == _by_hand(KEY, 2 * chunk, modulus, 50)
        assert second == _by_hand(KEY, 2 * chunk + 1, 7, 50)


@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 1000)), max_size=6),
    st.sampled_from([PRIME, LOOSE, 2**62 - 57]),
)
def test_totals_are_those_of_integers(keys: list[tuple[bytes, int]], modulus: int) -> None:
    words, wide = WordPads((modulus,), 5), WidePads(modulus**20)
    expected = [
        sum(weight * _by_hand(key, 0, modulus, 5)[i] for key, weight in keys) % modulus
        for i in range(5)
    ]
    assert words.words(words.total(keys, 1)[0])[0].tolist() == expected
    singles = [(wide.total([(key, 1)], 1)[0], weight) for key, weight in keys]
    total = sum(weight * int.from_bytes(pad, "big") for pad, weight in singles)
    assert int.from_bytes(wide.total(keys, 1)[0], "big") == total % modulus**20


def test_the_largest_weighted_sums_do_not_wrap() -> None:
    """A thousand times the largest weight, and far beyond."""
    pads = WordPads((2**62 - 57,), 3)
    once = pads.words(pads.total([(KEY, 1)], 1)[0])[0].tolist()
    weight = 10**9
    found = pads.words(pads.total([(KEY, weight)], 1)[0])[0].tolist()
    assert found == [weight * word % (2**62 - 57) for word in once]


def test_wide_pads_take_a_residue_of_much_longer_numbers() -> None:
    modulus = 2**255 - 19
    found = WidePads(modulus).total([(KEY, 1)], 2)
    for chunk, pad in enumerate(found):
        assert (
            int.from_bytes(pad, "big") == int.from_bytes(_stream(KEY, chunk, 48), "big") % modulus
        )


def _p_value(residues: Sequence[int] | NDArray[np.uint64], modulus: int) -> float:
    """Of a chi-square test over 64 equal parts of the ring."""
    places = np.array([int(each) * 64 // modulus for each in residues])
    return float(stats.chisquare(np.bincount(places, minlength=64)).pvalue)


@pytest.mark.parametrize("modulus", [97, PRIME, LOOSE])
def test_words_are_uniform(modulus: int) -> None:
    """With a false alarm in a million; the key is fixed, so never by chance."""
    row = WordPads((modulus,), 20_000).total([(KEY, 1)], 1)[0]
    words = np.frombuffer(row, "<u8")
    if modulus == 97:
        assert stats.chisquare(np.bincount(words.astype(int), minlength=97)).pvalue > 1e-6
    else:
        assert _p_value(words, modulus) > 1e-6


@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_a_pad_comes_off_as_it_went_on(name: str, weighted: bool) -> None:
    """And without that the values are nowhere to be seen, in any of the chunks."""
    scheme, keys = scheme_and_keys(name, weighted)
    size = 2 * scheme.entries + 3
    values = np.arange(size) * 1000
    chunks = scheme.encryptor(keys.public).encrypt(values, KEY)
    for chunk in chunks:
        scheme.check_fresh(chunk)
    decryptor = scheme.decryptor(keys.secret)
    found = decryptor.decrypt(chunks, size, scheme.pads(keys.public).total([(KEY, 1)], 3))
    slack = 16.0 * scheme.error(1)
    assert np.abs(found.values - values).max() <= slack
    assert found.largest == pytest.approx(values[-1], abs=slack)
    assert found.rest <= slack
    np.testing.assert_allclose(found.counts, 1.0, atol=1e-3)
    covered = decryptor.decrypt(chunks, size)
    assert np.median(np.abs(covered.values.astype(np.float64))) > scheme.bound / 100
    assert (np.abs(covered.counts - 1.0) > 1.0).all()
    assert covered.rest > scheme.bound / 100


def test_both_sides_have_the_same_keys_and_no_two_sums_have() -> None:
    one, other, third = AgreementKey(), AgreementKey(), AgreementKey()
    ours = PadKeys(one, other.public_bytes, RUN, 3, "training")
    theirs = PadKeys(other, one.public_bytes, RUN, 3, "training")
    assert ours.of(5) == theirs.of(5)
    different = [
        ours.of(4),
        ours.of(5, b"s" * 32),
        PadKeys(one, other.public_bytes, RUN, 3, "sums").of(5),
        PadKeys(one, other.public_bytes, RUN, 4, "training").of(5),
        PadKeys(one, other.public_bytes, RUN[::-1], 3, "training").of(5),
        PadKeys(one, third.public_bytes, RUN, 3, "training").of(5),
    ]
    assert len({ours.of(5), *different}) == 7


def test_pad_keys_are_signed_for_a_run_by_their_member() -> None:
    identity, public = IdentityKey.generate(), AgreementKey().public_bytes
    signed = sign_pad_key(identity, RUN, 3, public)
    verify_pad_key(signed, RUN, 3, identity.public_bytes)
    stranger = IdentityKey.generate().public_bytes
    for run, number, key in (
        (RUN, 4, identity.public_bytes),
        (bytes(32), 3, identity.public_bytes),
        (RUN, 3, stranger),
    ):
        with pytest.raises(SignatureError, match=f"member {number}"):
            verify_pad_key(signed, run, number, key)
    other = signed._replace(public=AgreementKey().public_bytes)
    with pytest.raises(SignatureError, match="member 3"):
        verify_pad_key(other, RUN, 3, identity.public_bytes)
    with pytest.raises(ProtocolError, match="pad key of 3 has 31 bytes, and 32 are expected"):
        verify_pad_key(signed._replace(public=public[1:]), RUN, 3, identity.public_bytes)
    weak = sign_pad_key(identity, RUN, 3, bytes(32))
    with pytest.raises(SignatureError, match="member 3 is no key"):
        verify_pad_key(weak, RUN, 3, identity.public_bytes)
    with pytest.raises(ValueError, match="32 bytes, got 3"):
        sign_pad_key(identity, b"run", 3, public)
