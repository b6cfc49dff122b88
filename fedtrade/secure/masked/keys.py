"""Keys: long-term ones that sign (Ed25519), and agreements of one sum (X25519, HKDF-SHA256).

Both curves are libsodium's. It checks a signature in half to two thirds of OpenSSL's time, and
refuses public keys of small order, under which one signature would fit many messages.
"""

import secrets
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import (
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from fedtrade.errors import SignatureError

__all__ = [
    "KEY_BYTES",
    "SIGNATURE_BYTES",
    "AgreementKey",
    "IdentityKey",
    "check_agreement",
    "derive",
    "verify",
]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class IdentityKey:
    """A participant's long-term signing key (Ed25519, RFC 8032)."""

    __slots__ = ("_key", "_private", "_public")

    def __init__(self, private: bytes) -> None:
        self._private = private
        self._public, self._key = crypto_sign_seed_keypair(private)

    @classmethod
    def generate(cls) -> "IdentityKey":
        """A new key from the system's randomness."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_private_bytes(cls, private: bytes) -> "IdentityKey":
        """The key of 32 private bytes.

        Raises
        ------
        ValueError
            If there are not 32.
        """
        if len(private) != KEY_BYTES:
            raise ValueError(f"a private identity key has {KEY_BYTES} bytes, got {len(private)}.")
        return cls(private)

    @property
    def private_bytes(self) -> bytes:
        """32 bytes that nobody else may see."""
        return self._private

    @property
    def public_bytes(self) -> bytes:
        """32 bytes for everybody."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes."""
        signed: bytes = crypto_sign(message, self._key)
        return signed[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        """The public part."""
        return f"IdentityKey(public={self._public.hex()})"


def verify(public: bytes, signature: bytes, message: bytes, *, signer: int) -> None:
    """Check a signature.

    Parameters
    ----------
    public : 32 bytes
        Of the identity key.
    signer : int
        Number of the member whose signature it is said to be.

    Raises
    ------
    SignatureError
        If it is not, or the public key is none.
    """
    is_one = len(public) == KEY_BYTES and len(signature) == SIGNATURE_BYTES
    try:
        is_one = is_one and crypto_sign_open(signature + message, public) == message
    except CryptoError:
        is_one = False
    if not is_one:
        raise SignatureError(
            f"a signature is not that of member {signer}, whose public identity key is "
            f"{public.hex()[:16]}..."
        )


class AgreementKey:
    """A key pair of one sum (X25519, RFC 7748)."""

    __slots__ = ("_private", "_public")

    def __init__(self, private: bytes | None = None) -> None:
        """A new pair, or that of 32 private bytes.

        Raises
        ------
        ValueError
            If there are not 32.
        """
        self._private = secrets.token_bytes(KEY_BYTES) if private is None else private
        if len(self._private) != KEY_BYTES:
            raise ValueError(
                f"a private agreement key has {KEY_BYTES} bytes, got {len(self._private)}."
            )
        self._public: bytes | None = None

    @property
    def private_bytes(self) -> bytes:
        """32 bytes."""
        return self._private

    @property
    def public_bytes(self) -> bytes:
        """32 bytes."""
        if self._public is None:
            self._public = crypto_scalarmult_base(self._private)
        return self._public

    def agree(self, public: bytes, *, owner: int) -> bytes:
        """The 32 bytes that only the two owners know.

        Parameters
        ----------
        owner : int
            Member whose public key it is.

        Raises
        ------
        SignatureError
            If the public key is one of the few with which every secret is the same.
        """
        if len(public) != KEY_BYTES:
            raise SignatureError(
                f"the public key of member {owner} is no key: it has {len(public)} bytes, not "
                f"{KEY_BYTES}."
            )
        try:
            common: bytes = crypto_scalarmult(self._private, public)
        except CryptoError:
            raise SignatureError(
                f"the public key of member {owner} is no key: every agreement with it is zero."
            ) from None
        return common


def check_agreement(public: bytes, *, owner: int) -> None:
    """Refuse a public key with which every agreement is the same, as `AgreementKey.agree` does.

    Raises
    ------
    SignatureError
    """
    _PROBE.agree(public, owner=owner)


_PROBE: Final = AgreementKey(bytes(KEY_BYTES))


def derive(secret: bytes, info: bytes, *, salt: bytes | None = None, size: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869): `size` bytes for the purpose `info`."""
    return HKDF(SHA256(), size, salt, info).derive(secret)
