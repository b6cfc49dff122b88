"""The consortium's certificate authority, the server's certificate, and the parties' keys.

X.509 and keys by the library `cryptography`. Nodes trust the consortium's own authority and no
other, so a certificate that anybody else signs does not get between a participant and the server.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedtrade.errors import ConfigurationError

__all__ = [
    "AUTHORITY_DAYS",
    "Issued",
    "Served",
    "identity_public",
    "make_authority",
    "make_certificate",
    "make_identity_key",
    "make_node_key",
    "node_public",
    "read_node_public",
    "served_by",
]

AUTHORITY_DAYS: Final = 3650
CLOCKS_DIFFER: Final = timedelta(minutes=10)
"""A certificate is valid from a little before it was made, for clocks that run late."""


class Issued(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Served(NamedTuple):
    """What a server's certificate is for: names and addresses, and the moment of its end (UTC)."""

    hosts: frozenset[str]
    until: datetime


def make_authority(name: str, *, key: bytes | None = None, now: datetime | None = None) -> Issued:
    """A certificate authority that signs servers' certificates and nothing else (EC P-256).

    Parameters
    ----------
    key : bytes or None
        PEM of the private key that it has already; None makes one.

    Raises
    ------
    ConfigurationError
        If the key cannot be read.
    """
    own = ec.generate_private_key(ec.SECP256R1()) if key is None else _authority_key(key)
    subject = _name(f"{name} authority")
    certificate = (
        _builder(subject, subject, own, _span(AUTHORITY_DAYS, now))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .sign(own, hashes.SHA256())
    )
    return Issued(_pem(certificate), _private_pem(own))


def make_certificate(
    authority: Issued,
    name: str,
    hosts: Sequence[str],
    valid_days: int,
    *,
    now: datetime | None = None,
) -> Issued:
    """A server's certificate for hosts (names or addresses), signed by the authority.

    It ends with the authority's own at the latest.

    Raises
    ------
    ConfigurationError
        If the authority's files are none, do not belong together or have expired, or a host is
        neither a name nor an address.
    """
    issuer, issuer_key = _certificate(authority.certificate), _authority_key(authority.key)
    if issuer.public_key() != issuer_key.public_key():
        raise ConfigurationError(
            "the authority's key is not that of its certificate; bring back the key that was made "
            "with it."
        )
    start, end = _span(valid_days, now)
    end = min(end, issuer.not_valid_after_utc)
    if end <= start + CLOCKS_DIFFER:
        raise ConfigurationError(
            f"the authority's certificate has expired ({issuer.not_valid_after_utc:%Y-%m-%d}); "
            "provision the consortium anew in another folder."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(f"{name} server"), issuer.subject, key, (start, end))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return Issued(_pem(certificate), _private_pem(key))


def served_by(certificate: bytes) -> Served:
    """What a server's certificate is for.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    read = _certificate(certificate)
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Served(frozenset(), read.not_valid_after_utc)
    return Served(frozenset(str(name.value) for name in names), read.not_valid_after_utc)


def make_node_key() -> bytes:
    """A node's private key as Flower reads it: EC P-384 in OpenSSH's format."""
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def node_public(private: bytes) -> str:
    """The public key of a node as a line of OpenSSH.

    Raises
    ------
    ConfigurationError
        If it is no EC key in OpenSSH's format.
    """
    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            "a node's private key must be an EC key in OpenSSH's format, without a password "
            f"({_reason(error)}); `fedtrade provision keys` makes one."
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            f"a node's private key must be an EC key, got {type(key).__name__}; "
            "`fedtrade provision keys` makes one."
        )
    return _line(key.public_key())


def read_node_public(line: str) -> str:
    """A node's public key as a line of OpenSSH, without its comment.

    Raises
    ------
    ValueError
        If it is no public EC key. The line is not told: it may be a private key by mistake.
    """
    try:
        key = serialization.load_ssh_public_key(line.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(
            "must be the public EC key of a node, a line that begins with `ecdsa-sha2-nistp`, or "
            "the name of a file with it; `fedtrade provision keys` prints one"
        )
    return _line(key)


def make_identity_key() -> bytes:
    """The private key of 32 bytes that signs in private sums (Ed25519)."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def identity_public(private: bytes) -> str:
    """The public identity key, in hexadecimal.

    Raises
    ------
    ConfigurationError
        If the private one has not 32 bytes.
    """
    try:
        key = Ed25519PrivateKey.from_private_bytes(private)
    except ValueError:
        raise ConfigurationError(
            f"a private identity key has 32 bytes, and this has {len(private)}; "
            "`fedtrade provision keys` makes one."
        ) from None
    return key.public_key().public_bytes_raw().hex()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    span: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    start, end = span
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _span(days: int, now: datetime | None) -> tuple[datetime, datetime]:
    """From when to when a certificate is valid."""
    moment = now or datetime.now(UTC)
    return moment - CLOCKS_DIFFER, moment + timedelta(days=days)


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigurationError(f"a certificate cannot be read ({_reason(error)}).") from None


def _authority_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"the authority's key cannot be read ({_reason(error)}); it is PEM without a password."
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            f"the authority's key must be an EC key, got {type(key).__name__}; bring back the one "
            "that `fedtrade provision` made."
        )
    return key


def _reason(error: Exception) -> str:
    """Why something is no key or certificate, without advice on how to use a library."""
    return str(error).split(".")[0].split("(")[0].strip() or type(error).__name__


def _line(key: ec.EllipticCurvePublicKey) -> str:
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line.decode("ascii")


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise ConfigurationError(
            f"server.hosts has {host!r}, which is neither a name nor an address."
        ) from None


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
