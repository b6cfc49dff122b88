"""A member's contribution to an encrypted sum: ciphertexts, and a signature that they are its own.

What is encrypted has a pad on it that the key holder knows, too, and the server does not
(`fedtrade.secure.encrypted.pads`). The signature binds the run, the sum, the member and the SHA-256
of its chunks. The server checks it against the chunks; the key holder sees only the sum, and takes
the pads of those off who have signed.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.encrypted.pad_keys import check_pad_public
from fedtrade.secure.encrypted.scheme import Encryptor, Scheme
from fedtrade.secure.masked.keys import SIGNATURE_BYTES, IdentityKey, verify

__all__ = [
    "Contribution",
    "SignedDigest",
    "check_contribution",
    "contribute",
    "sign_key",
    "verify_digest",
    "verify_key",
]

DIGEST_BYTES = 32
CONTRIBUTION = b"fedtrade encrypted sum 2 contribution"
KEY = b"fedtrade encrypted sum 2 key"


class SignedDigest(NamedTuple):
    """What the key holder learns of a contribution.

    Attributes
    ----------
    number : int
        The member's.
    digest : 32 bytes
        Of its chunks.
    signature : 64 bytes
    """

    number: int
    digest: bytes
    signature: bytes


class Contribution(NamedTuple):
    """What a member sends to the server."""

    chunks: tuple[bytes, ...]
    signed: SignedDigest


def contribute(
    encryptor: Encryptor,
    identity: IdentityKey,
    run: bytes,
    session: int,
    number: int,
    values: NDArray[np.int64],
    pad_key: bytes,
) -> Contribution:
    """Encrypt and sign values of shape (size,), encoded by a layout of the scheme's modulus.

    Parameters
    ----------
    identity : IdentityKey
        Of member `number`.
    run : 32 bytes
    session : int
        The number of the sum.
    pad_key : 32 bytes
        `PadKeys.of` this session.

    Raises
    ------
    RangeError
        If a value could make the sum wrap.
    """
    chunks = tuple(encryptor.encrypt(values, pad_key))
    digest = digest_of(chunks)
    signature = identity.sign(_statement(run, session, number, digest))
    return Contribution(chunks, SignedDigest(number, digest, signature))


def check_contribution(
    contribution: Contribution, run: bytes, session: int, identity: bytes
) -> None:
    """Check on the server that a contribution is its member's, and of this sum.

    Parameters
    ----------
    identity : 32 bytes
        The member's public identity key.

    Raises
    ------
    ProtocolError
        If the digest is not that of the chunks.
    SignatureError
        If the signature is not the member's.
    """
    signed = contribution.signed
    if digest_of(contribution.chunks) != signed.digest:
        raise ProtocolError(
            f"member {signed.number}: the digest that it signed is not that of its ciphertexts."
        )
    verify_digest(signed, run, session, identity)


def verify_digest(signed: SignedDigest, run: bytes, session: int, identity: bytes) -> None:
    """Check that a member has contributed to a sum.

    Raises
    ------
    ProtocolError
        If digest or signature have a wrong size.
    SignatureError
        If the signature is not the member's.
    """
    if len(signed.digest) != DIGEST_BYTES or len(signed.signature) != SIGNATURE_BYTES:
        raise ProtocolError(
            f"member {signed.number}: a digest has {DIGEST_BYTES} bytes and a signature "
            f"{SIGNATURE_BYTES}, got {len(signed.digest)} and {len(signed.signature)}."
        )
    statement = _statement(run, session, signed.number, signed.digest)
    verify(identity, signed.signature, statement, signer=signed.number)


def sign_key(
    identity: IdentityKey, run: bytes, scheme: Scheme, public: bytes, pad_public: bytes
) -> bytes:
    """The key holder's signature under its public keys, so that the server cannot swap them."""
    return identity.sign(_key_statement(run, scheme, public, pad_public))


def verify_key(
    public: bytes,
    pad_public: bytes,
    signature: bytes,
    run: bytes,
    scheme: Scheme,
    *,
    holder: int,
    identity: bytes,
) -> None:
    """Check that public keys are the key holder's; whoever made them can read what is encrypted.

    Parameters
    ----------
    pad_public : 32 bytes
        With which members agree on their pads.
    holder : int
        The key holder's number.
    identity : 32 bytes
        Its public identity key.

    Raises
    ------
    ProtocolError
        If one has the wrong size.
    SignatureError
        If the key holder has not signed them for this run and scheme, or the second is no key.
    """
    scheme.check_public(public)
    check_pad_public(pad_public, owner=holder)
    verify(identity, signature, _key_statement(run, scheme, public, pad_public), signer=holder)


def digest_of(chunks: Sequence[bytes]) -> bytes:
    """SHA-256 over the chunks' own."""
    return hashlib.sha256(b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)).digest()


def _statement(run: bytes, session: int, number: int, digest: bytes) -> bytes:
    if len(run) != RUN_BYTES:
        raise ValueError(f"a run is known by {RUN_BYTES} bytes, got {len(run)}.")
    return b"".join(
        (CONTRIBUTION, run, session.to_bytes(8, "little"), number.to_bytes(4, "little"), digest)
    )


def _key_statement(run: bytes, scheme: Scheme, public: bytes, pad_public: bytes) -> bytes:
    if len(run) != RUN_BYTES:
        raise ValueError(f"a run is known by {RUN_BYTES} bytes, got {len(run)}.")
    parameters = json.dumps(dict(scheme.fields()), sort_keys=True).encode()
    return b"".join(
        (
            *(KEY, run, hashlib.sha256(parameters).digest(), hashlib.sha256(public).digest()),
            pad_public,
        )
    )
