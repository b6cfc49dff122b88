from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import (
    Issued,
    identity_public,
    make_authority,
    make_certificate,
    make_identity_key,
    make_node_key,
    node_public,
    read_node_public,
    served_by,
)
from fedtrade.secure.masked import IdentityKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOSTS = ("fed.example.com", "10.0.0.7", "::1")


@pytest.fixture(scope="module")
def authority() -> Issued:
    return make_authority("test", now=NOW)


def verify(authority: Issued, server: Issued, host: x509.DNSName, moment: datetime) -> None:
    """By an independent X.509 verifier."""
    trusted = x509.load_pem_x509_certificate(authority.certificate)
    shown = x509.load_pem_x509_certificate(server.certificate)
    policy = PolicyBuilder().store(Store([trusted])).time(moment)
    policy.build_server_verifier(host).verify(shown, [])


def test_a_certificate_holds_for_its_hosts_from_its_making_to_its_end(authority: Issued) -> None:
    server = make_certificate(authority, "test", HOSTS, 30, now=NOW)
    host = x509.DNSName("fed.example.com")
    verify(authority, server, host, NOW)
    verify(authority, server, host, NOW + timedelta(days=29))
    for other, moment in (
        (x509.DNSName("evil.example.com"), NOW),
        (host, NOW + timedelta(days=31)),
        (host, NOW - timedelta(days=1)),
    ):
        with pytest.raises(VerificationError):
            verify(authority, server, other, moment)
    with pytest.raises(VerificationError):
        verify(make_authority("test", now=NOW), server, host, NOW)
    assert served_by(server.certificate) == (set(HOSTS), NOW + timedelta(days=30))


def test_each_certificate_says_what_it_may_be_used_for(authority: Issued) -> None:
    root = x509.load_pem_x509_certificate(authority.certificate).extensions
    basic = root.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = root.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    server = make_certificate(authority, "test", HOSTS, 30, now=NOW).certificate
    leaf = x509.load_pem_x509_certificate(server).extensions
    assert not leaf.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    purposes = leaf.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_no_certificate_outlives_its_authority(authority: Issued) -> None:
    end = x509.load_pem_x509_certificate(authority.certificate).not_valid_after_utc
    late = end - timedelta(days=100)
    assert (
        served_by(make_certificate(authority, "t", HOSTS, 397, now=late).certificate).until == end
    )
    with pytest.raises(ConfigurationError, match="authority's certificate has expired"):
        make_certificate(authority, "t", HOSTS, 397, now=end + timedelta(days=1))


def test_an_authority_made_again_of_its_key_vouches_for_the_same(authority: Issued) -> None:
    server = make_certificate(authority, "test", HOSTS, 30, now=NOW)
    again = make_authority("test", key=authority.key, now=NOW)
    assert again.key == authority.key
    verify(again, server, x509.DNSName("fed.example.com"), NOW)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (make_authority("other").key, "not that of its certificate"),
        (b"nonsense", "authority's key cannot be read"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "without a password"),
        (pem(rsa.generate_private_key(65537, 2048)), "must be an EC key, got RSAPrivateKey"),
    ],
)
def test_another_key_than_the_authoritys_signs_nothing(
    authority: Issued, key: bytes, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        make_certificate(authority._replace(key=key), "test", HOSTS, 30, now=NOW)


def test_a_nodes_key_is_what_flower_reads() -> None:
    private = make_node_key()
    key = serialization.load_ssh_private_key(private, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp384r1"
    public = node_public(private)
    assert serialization.load_ssh_public_key(public.encode()) == key.public_key()
    assert read_node_public(f"{public} somebody@somewhere\n") == public


@pytest.mark.parametrize(
    "private",
    [
        pem(ec.generate_private_key(ec.SECP384R1())),  # Flower refuses PKCS8 too
        b"",
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
    ],
)
def test_another_kind_of_private_key_is_refused(private: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"must be an EC key.*provision keys") as caught:
        node_public(private)
    assert "BEGIN" not in str(caught.value)


def test_a_private_key_in_the_place_of_a_public_one_is_refused_and_not_told() -> None:
    private = make_node_key().decode()
    with pytest.raises(ValueError, match="must be the public EC key") as caught:
        read_node_public(private)
    assert private.splitlines()[3] not in str(caught.value)
    with pytest.raises(ValueError, match="must be the public EC key"):
        read_node_public("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0cAQ")


def test_an_identity_key_is_that_of_private_sums() -> None:
    private = make_identity_key()
    assert IdentityKey.from_private_bytes(private).public_bytes.hex() == identity_public(private)
    with pytest.raises(ConfigurationError, match=r"has 32 bytes, and this has 3"):
        identity_public(b"abc")
