"""The consortium's certificate authority, the server's certificate, and the parties' keys.

X.509 and keys by the library `cryptography`. Nodes trust the consortium's own authority and no
other, so a certificate that anybody else signs does not get between a participant and the server.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedtrade.errors import ConfigurationError

__all__ = [
    "Issued",
    "identity_public",
    "make_authority",
    "make_certificate",
    "make_identity_key",
    "make_node_key",
    "node_public",
]

AUTHORITY_DAYS: Final = 3650
CLOCKS_DIFFER: Final = timedelta(minutes=10)
"""A certificate is valid from a little before it was made, for clocks that run late."""


class Issued(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str, *, now: datetime | None = None) -> Issued:
    """A certificate authority that signs servers' certificates and nothing else (EC P-256)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"{name} authority")
    certificate = (
        _builder(subject, subject, key, AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(_pem(certificate), _private_pem(key))


def make_certificate(
    authority: Issued,
    name: str,
    hosts: Sequence[str],
    valid_days: int,
    *,
    now: datetime | None = None,
) -> Issued:
    """A server's certificate for hosts (names or addresses), signed by the authority.

    Raises
    ------
    ConfigurationError
        If the authority's files are none, or a host is neither a name nor an address.
    """
    try:
        issuer = x509.load_pem_x509_certificate(authority.certificate)
        issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    except ValueError as error:
        raise ConfigurationError(f"the authority's files cannot be read ({error}).") from None
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(f"{name} server"), issuer.subject, key, valid_days, now)
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
    except ValueError as error:
        raise ConfigurationError(
            f"a node's private key must be an EC key in OpenSSH's format ({error}); "
            "`fedtrade provision keys` makes one."
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            f"a node's private key must be an EC key, got {type(key).__name__}; "
            "`fedtrade provision keys` makes one."
        )
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return line.decode("ascii")


def make_identity_key() -> bytes:
    """The private key of 32 bytes that signs in private sums (Ed25519)."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def identity_public(private: bytes) -> str:
    """The public identity key, in hexadecimal."""
    key = Ed25519PrivateKey.from_private_bytes(private)
    return key.public_key().public_bytes_raw().hex()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    now: datetime | None,
) -> x509.CertificateBuilder:
    start = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - CLOCKS_DIFFER)
        .not_valid_after(start + timedelta(days=days))
    )


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
