"""Signatures, agreements and derived keys against the vectors of their standards."""

from contextlib import suppress

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import SignatureError
from fedtrade.secure.masked.keys import (
    AgreementKey,
    IdentityKey,
    check_agreement,
    derive,
    verify,
)

ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")


def test_agreement_is_that_of_rfc_7748() -> None:
    """Section 6.1."""
    alice, bob = AgreementKey(ALICE), AgreementKey(BOB)
    assert alice.public_bytes.hex() == (
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    )
    assert bob.public_bytes.hex() == (
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    )
    common = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert alice.agree(bob.public_bytes, owner=1).hex() == common
    assert bob.agree(alice.public_bytes, owner=0).hex() == common
    assert alice.private_bytes == ALICE


@pytest.mark.parametrize(
    ("salt", "info", "okm"),
    [
        (
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            None,
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_derived_keys_are_those_of_rfc_5869(salt: bytes | None, info: bytes, okm: str) -> None:
    """Appendices A.1 and A.3."""
    assert derive(b"\x0b" * 22, info, salt=salt, size=42).hex() == okm
    assert derive(b"\x0b" * 22, info, salt=salt).hex() == okm[:64]


def test_signature_is_that_of_rfc_8032() -> None:
    """Section 7.1, test 1."""
    private = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    key = IdentityKey.from_private_bytes(bytes.fromhex(private))
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.public_bytes.hex() == public
    assert key.private_bytes.hex() == private
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    verify(key.public_bytes, key.sign(b"x"), b"x", signer=0)
    assert private not in repr(key)


@given(st.binary(max_size=40), st.integers(0, 63), st.integers(0, 7))
def test_a_changed_signature_or_message_is_refused(message: bytes, byte: int, bit: int) -> None:
    key = IdentityKey.generate()
    signature = bytearray(key.sign(message))
    with pytest.raises(SignatureError, match="not that of member 7"):
        verify(key.public_bytes, bytes(signature), message + b"x", signer=7)
    signature[byte] ^= 1 << bit
    with pytest.raises(SignatureError, match="not that of member 7"):
        verify(key.public_bytes, bytes(signature), message, signer=7)
    with pytest.raises(SignatureError):
        verify(IdentityKey.generate().public_bytes, key.sign(message), message, signer=7)


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"short"])
def test_a_key_that_fixes_every_agreement_is_refused(public: bytes) -> None:
    """RFC 7748, section 6.1: the points of small order give zero."""
    with pytest.raises(SignatureError, match="member 3"):
        AgreementKey().agree(public, owner=3)
    with pytest.raises(SignatureError, match="member 3"):
        check_agreement(public, owner=3)
    check_agreement(AgreementKey().public_bytes, owner=3)


def test_a_private_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, got 31"):
        IdentityKey.from_private_bytes(bytes(31))


def test_an_agreement_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, got 33"):
        AgreementKey(bytes(33))
    with pytest.raises(SignatureError, match="member 3 is no key: it has 31 bytes"):
        AgreementKey().agree(bytes(31), owner=3)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_signatures_are_those_of_another_library(private: bytes, message: bytes) -> None:
    """OpenSSL's, which signs and checks by the same standard."""
    ours, theirs = IdentityKey(private), Ed25519PrivateKey.from_private_bytes(private)
    signature = ours.sign(message)
    assert ours.public_bytes == theirs.public_key().public_bytes_raw()
    assert signature == theirs.sign(message)
    verify(ours.public_bytes, theirs.sign(message), message, signer=0)
    theirs.public_key().verify(signature, message)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_agreements_are_those_of_another_library(private: bytes, other: bytes) -> None:
    ours, theirs = AgreementKey(private), X25519PrivateKey.from_private_bytes(private)
    public = AgreementKey(other).public_bytes
    assert ours.public_bytes == theirs.public_key().public_bytes_raw()
    assert ours.agree(public, owner=0) == theirs.exchange(X25519PublicKey.from_public_bytes(public))


@pytest.mark.parametrize(
    "public",
    [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ],
)
def test_a_key_under_which_a_signature_fits_many_messages_is_refused(public: str) -> None:
    """Points of order 1, 2, 4 and 8. Where R is the neutral one too, s = 0 signs anything under
    the first, and something under each: OpenSSL agrees."""
    key, forged = bytes.fromhex(public), b"\1" + bytes(63)
    found = []
    for number in range(64):
        message = bytes([number])
        with pytest.raises(SignatureError, match="not that of member 2"):
            verify(key, forged, message, signer=2)
        with suppress(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(key).verify(forged, message)
            found.append(number)
    assert found


def test_a_signature_of_another_length_is_refused() -> None:
    key = IdentityKey.generate()
    signature = key.sign(b"xy")
    for wrong in (signature[:-1], signature + b"x", b""):
        with pytest.raises(SignatureError, match="not that of member 1"):
            verify(key.public_bytes, wrong, b"y", signer=1)
    with pytest.raises(SignatureError, match="not that of member 1"):
        verify(key.public_bytes[:-1], signature, b"xy", signer=1)
