"""The keys that pads come from: a member and the key holder agree on them, and the server cannot.

Both have a key pair for the run (X25519), signed by their long-term keys: the member's with its
greeting, the key holder's together with its public key. What they agree on is expanded (HKDF) to
one key for each sum: of this run, kind of sums, session and member, and for no other purpose.
"""

import hashlib
from typing import NamedTuple

from fedtrade.errors import ProtocolError
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.masked.keys import (
    KEY_BYTES,
    AgreementKey,
    IdentityKey,
    check_agreement,
    derive,
    verify,
)
from fedtrade.secure.subject import NO_SUBJECT

__all__ = ["PadKeys", "SignedPadKey", "check_pad_public", "sign_pad_key", "verify_pad_key"]

PUBLIC = b"fedtrade encrypted sum 2 pad key"
PAD = b"fedtrade encrypted sum 2 pad"


class SignedPadKey(NamedTuple):
    """A member's public key of pads.

    Attributes
    ----------
    public : 32 bytes
    signature : 64 bytes
    """

    public: bytes
    signature: bytes


class PadKeys:
    """The keys of the pads of one member, as it and the key holder know them.

    Parameters
    ----------
    own : AgreementKey
    theirs : 32 bytes
        The other's public key, whose signature is checked.
    run : 32 bytes
    number : int
        Of the member.
    kind : str
        Of sums that are added up under the same key holder's keys.

    Raises
    ------
    SignatureError
        If all agreements with the other's key are the same.
    """

    def __init__(
        self, own: AgreementKey, theirs: bytes, run: bytes, number: int, kind: str
    ) -> None:
        self._secret = own.agree(theirs, owner=number)
        pair = b"".join(sorted((own.public_bytes, theirs)))
        name = hashlib.sha256(kind.encode()).digest()
        self._purpose = b"".join((PAD, _checked(run), name, pair, number.to_bytes(4, "little")))

    def of(self, session: int, subject: bytes = NO_SUBJECT) -> bytes:
        """The 32 bytes of one sum's pad, which serve once.

        Parameters
        ----------
        subject : 32 bytes
            What is added up, see `fedtrade.secure.subject`.
        """
        return derive(self._secret, self._purpose + session.to_bytes(8, "little") + subject)


def sign_pad_key(identity: IdentityKey, run: bytes, number: int, public: bytes) -> SignedPadKey:
    """Member `number`'s signature under its public key of pads, for a run."""
    return SignedPadKey(public, identity.sign(_statement(run, number, public)))


def verify_pad_key(signed: SignedPadKey, run: bytes, number: int, identity: bytes) -> None:
    """Check that a public key of pads is a member's: whoever has its other half knows the pads.

    Parameters
    ----------
    identity : 32 bytes
        The member's public identity key.

    Raises
    ------
    ProtocolError
        If it has the wrong size.
    SignatureError
        If the member has not signed it for this run, or it is no key.
    """
    check_pad_public(signed.public, owner=number)
    statement = _statement(run, number, signed.public)
    verify(identity, signed.signature, statement, signer=number)


def check_pad_public(public: bytes, *, owner: int) -> None:
    """Check size and use of a public key of pads.

    Raises
    ------
    ProtocolError
        If it has the wrong size.
    SignatureError
        If all agreements with it are the same.
    """
    if len(public) != KEY_BYTES:
        raise ProtocolError(
            f"the pad key of {owner} has {len(public)} bytes, and {KEY_BYTES} are expected."
        )
    check_agreement(public, owner=owner)


def _statement(run: bytes, number: int, public: bytes) -> bytes:
    return b"".join((PUBLIC, _checked(run), number.to_bytes(4, "little"), public))


def _checked(run: bytes) -> bytes:
    if len(run) != RUN_BYTES:
        raise ValueError(f"a run is known by {RUN_BYTES} bytes, got {len(run)}.")
    return run
