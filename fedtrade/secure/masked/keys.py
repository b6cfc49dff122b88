"""Keys: long-term ones that sign (Ed25519), and agreements of one sum (X25519, HKDF-SHA256)."""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

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

    __slots__ = ("_key", "_public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "IdentityKey":
        """A new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

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
        return cls(Ed25519PrivateKey.from_private_bytes(private))

    @property
    def private_bytes(self) -> bytes:
        """32 bytes that nobody else may see."""
        return self._key.private_bytes_raw()

    @property
    def public_bytes(self) -> bytes:
        """32 bytes for everybody."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes."""
        return self._key.sign(message)

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
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise SignatureError(
            f"a signature is not that of member {signer}, whose public identity key is "
            f"{public.hex()[:16]}..."
        ) from None


class AgreementKey:
    """A key pair of one sum (X25519, RFC 7748)."""

    __slots__ = ("_key",)

    def __init__(self, private: bytes | None = None) -> None:
        """A new pair, or that of 32 private bytes."""
        self._key = (
            X25519PrivateKey.generate()
            if private is None
            else X25519PrivateKey.from_private_bytes(private)
        )

    @property
    def private_bytes(self) -> bytes:
        """32 bytes."""
        return self._key.private_bytes_raw()

    @property
    def public_bytes(self) -> bytes:
        """32 bytes."""
        return self._key.public_key().public_bytes_raw()

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
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise SignatureError(
                f"the public key of member {owner} is no key: every agreement with it is zero."
            ) from None


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
