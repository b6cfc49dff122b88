"""A consortium to provision, and the forms in which a private key could turn up elsewhere."""

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.provision import Provisioned

PARTIES = ("alpha", "beta", "auditor")


def consortium(**changes: object) -> Consortium:
    values: dict[str, object] = {
        "name": "test",
        "server": {"address": "fed.example.com:8443", "hosts": ["10.0.0.7"]},
        "participants": [
            {"name": "alpha", "settings": {"allow": {"most_rounds": 5}}},
            {"name": "beta"},
        ],
        "key_holders": [{"name": "auditor"}],
    }
    return Consortium.from_mapping(values | changes)


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def outcomes(made: Provisioned) -> dict[str, str]:
    return {name: outcome for name, _, outcome in made.rows}


def secret_of(path: Path) -> bytes:
    """What is secret in a file of a private key: the scalar of a curve, or the seed."""
    content = path.read_bytes()
    if not content.startswith(b"-----"):
        return content
    is_ssh = b"OPENSSH" in content.splitlines()[0]
    load = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
    key = load(content, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(key.key_size // 8)


def traces(path: Path) -> list[bytes]:
    """In which forms a private key could be in another file, without line breaks."""
    secret, content = secret_of(path), path.read_bytes()
    found = [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        str(int.from_bytes(secret)).encode(),
    ]
    for encode in (b64encode, urlsafe_b64encode):
        for start in range(3):  # as a part of something longer
            end = start + (len(secret) - start) // 3 * 3
            found.append(encode(secret[start:end]))
    if content.startswith(b"-----"):
        found.append(b"".join(content.splitlines()[1:-1]))
    return found


def assert_secret(keys: list[Path], texts: dict[str, bytes]) -> None:
    """No private key is in a text, in any form, unless the text is the key's own file."""
    for key in keys:
        for name, text in texts.items():
            joined = text.replace(b"\n", b"")
            if name != str(key):
                assert not any(trace in joined for trace in traces(key)), (key, name)
