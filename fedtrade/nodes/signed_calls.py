"""Whose key has signed a call of a node: known at the door, before anything else is read of it.

Flower's nodes send their public key, the time, and a signature of the time with each call; the
SuperLink checks them again, and that the time is now.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.registry import Party, Registry, stamp_of

__all__ = ["KEY_HEADER", "SIGNATURE_HEADER", "TIME_HEADER", "KnownKeys"]

KEY_HEADER: Final = "flwr-public-key"
SIGNATURE_HEADER: Final = "flwr-signature"
TIME_HEADER: Final = "flwr-timestamp"


@dataclass(frozen=True, slots=True)
class _Known:
    party: Party
    key: ec.EllipticCurvePublicKey


class KnownKeys:
    """The keys of a register, which is read again when it has changed.

    Parameters
    ----------
    path : Path
        Of the register.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = stamp_of(path)
        self._known = _read(path)

    def claimed(self, headers: Mapping[str, str]) -> Party | None:
        """The party whose key a call names, revoked or not; None if it is nobody's."""
        known = self._claimed(headers)
        return None if known is None else known.party

    def has_signed(self, headers: Mapping[str, str]) -> bool:
        """Whether a party that has not been revoked has signed a call."""
        known = self._claimed(headers)
        if known is None or known.party.revoked:
            return False
        try:
            signature = b64decode(headers[SIGNATURE_HEADER], validate=True)
            signed = headers[TIME_HEADER].encode("ascii")
            known.key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, KeyError, ValueError):
            return False
        return True

    def _claimed(self, headers: Mapping[str, str]) -> _Known | None:
        self._read_again()
        try:
            return self._known.get(b64decode(headers[KEY_HEADER], validate=True))
        except (KeyError, ValueError):
            return None

    def _read_again(self) -> None:
        stamp = stamp_of(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._known = _read(self._path)
        except ConfigurationError:
            return  # the server says so; until it is whole again, the last one counts


def _read(path: Path) -> dict[bytes, _Known]:
    """Parties by their key as Flower's nodes send it (PEM)."""
    known: dict[bytes, _Known] = {}
    for party in Registry.read(path).parties:
        try:
            key = serialization.load_ssh_public_key(party.node_key.encode())
        except ValueError as error:
            raise ConfigurationError(
                f"the node key of {party.name} in {path} is no public key ({error}); put back what "
                "`fedtrade provision` wrote."
            ) from None
        if isinstance(key, ec.EllipticCurvePublicKey):  # Flower takes no others
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            known[key.public_bytes(serialization.Encoding.PEM, form)] = _Known(party, key)
    return known
