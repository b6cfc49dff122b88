import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import identity_public, node_public
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.kits import check_kit
from fedtrade.nodes.provision import Provisioned, make_keys, provision, renew, revoke
from fedtrade.nodes.registry import Registry

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    provision(consortium(), tmp_path)
    return tmp_path


def test_every_private_file_is_its_owners_alone(folder: Path) -> None:
    private = [
        folder / "authority/ca.key",
        folder / "server/server.key",
        *(folder / "kits" / name / key for name in PARTIES for key in ("node.key", "identity.key")),
    ]
    assert set(folder.rglob("*.key")) == set(private)
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for name in PARTIES:
        assert stat.S_IMODE((folder / "kits" / name).stat().st_mode) == 0o700


def test_no_private_key_is_in_another_file(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for key in folder.rglob("*.key"):
        content = key.read_bytes()
        pieces = [content, content.hex().encode()]
        if content.startswith(b"-----"):
            pieces = [b"".join(content.splitlines()[1:-1])[40:120]]
        for path in files:
            joined = path.read_bytes().replace(b"\n", b"")
            if path != key:
                assert not any(piece in joined for piece in pieces), (key, path)


def verified(folder: Path, host: x509.GeneralName, moment: datetime) -> None:
    """Check the server's certificate by an independent X.509 verifier."""
    authority = x509.load_pem_x509_certificate((folder / "server/ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((folder / "server/server.crt").read_bytes())
    builder = PolicyBuilder().store(Store([authority])).time(moment)
    assert isinstance(host, x509.DNSName | x509.IPAddress)
    builder.build_server_verifier(host).verify(server, [])


@pytest.mark.parametrize("host", ["fed.example.com", "localhost"])
def test_the_certificate_holds_for_its_hosts_until_it_expires(folder: Path, host: str) -> None:
    now = datetime.now(UTC)
    verified(folder, x509.DNSName(host), now)
    with pytest.raises(VerificationError):
        verified(folder, x509.DNSName("evil.example.com"), now)
    with pytest.raises(VerificationError):
        verified(folder, x509.DNSName(host), now + timedelta(days=398))


def test_renewal_keeps_the_authority_and_all_keys(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    renew(consortium(), folder)
    changed = {p.name for p, content in before.items() if p.read_bytes() != content}
    assert changed == {"server.crt", "server.key"}
    verified(folder, x509.DNSName("localhost"), datetime.now(UTC))
    (folder / "authority/ca.key").unlink()
    with pytest.raises(ConfigurationError, match=r"has no ca\.key"):
        renew(consortium(), folder)


def test_the_register_has_the_keys_of_the_kits(folder: Path) -> None:
    registry = Registry.read(folder / "server/registry.json")
    assert [(p.name, p.number, p.role) for p in registry.parties] == [
        ("alpha", 0, "participant"),
        ("beta", 1, "participant"),
        ("auditor", 2, "key_holder"),
    ]
    for party in registry.parties:
        kit = folder / "kits" / party.name
        assert node_public((kit / "node.key").read_bytes()) == party.node_key
        assert identity_public((kit / "identity.key").read_bytes()) == party.identity
        known = json.loads((kit / "identities-encrypted.json").read_text())
        assert known[str(party.number)] == party.identity
        assert set(json.loads((kit / "identities.json").read_text())) == {"0", "1"}


def test_a_kit_is_checked_as_sha256sum_does(folder: Path) -> None:
    kit = folder / "kits/alpha"
    check_kit(kit)
    done = subprocess.run(["sha256sum", "-c", "--strict", "MANIFEST.sha256"], cwd=kit, check=False)
    assert done.returncode == 0
    assert len((kit / "README.txt").read_text().splitlines()) == 3
    assert yaml.safe_load((kit / "client.yaml").read_text())["allow"] == {"most_rounds": 5}


@pytest.mark.parametrize("name", ["ca.crt", "client.yaml", "identities.json", "node.key"])
def test_a_changed_file_of_a_kit_is_named(folder: Path, name: str) -> None:
    path = folder / "kits/alpha" / name
    path.write_bytes(path.read_bytes() + b"#")
    with pytest.raises(ConfigurationError, match=name):
        check_kit(path.parent)
    path.unlink()
    with pytest.raises(ConfigurationError, match=name):
        check_kit(path.parent)


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "kits/beta/identity.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"0640.*chmod 600"):
        check_kit(folder / "kits/beta")


def test_running_it_again_keeps_all_and_adds_what_is_new(tmp_path: Path) -> None:
    first = consortium(key_holders=[])
    provision(first, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.key")}
    more = consortium(participants=[{"name": n} for n in ("alpha", "beta", "gamma")])
    assert outcomes(provision(more, tmp_path)) == {
        "alpha": "kept",
        "beta": "kept",
        "gamma": "new",
        "auditor": "new",
    }
    assert all(path.read_bytes() == content for path, content in before.items())
    for kit in (tmp_path / "kits").iterdir():
        check_kit(kit)
        assert len(json.loads((kit / "identities-encrypted.json").read_text())) == 4


def outcomes(made: Provisioned) -> dict[str, str]:
    return {name: outcome for name, _, outcome in made.rows}


def test_what_does_not_fit_what_is_there_is_refused(folder: Path) -> None:
    before = (folder / "server/registry.json").read_bytes()
    with pytest.raises(ConfigurationError, match=r"beta is registered .* revoke beta"):
        provision(consortium(participants=[{"name": "alpha"}]), folder)
    with pytest.raises(ConfigurationError, match=r"auditor.*another role"):
        provision(
            consortium(
                participants=[{"name": n} for n in PARTIES],
                key_holders=[],
            ),
            folder,
        )
    with pytest.raises(ConfigurationError, match=r"gamma cannot join .* key holder auditor"):
        provision(
            consortium(participants=[{"name": n} for n in ("alpha", "beta", "gamma")]), folder
        )
    assert (folder / "server/registry.json").read_bytes() == before


def test_a_revoked_party_is_known_to_nobody(folder: Path) -> None:
    assert revoke(folder, "beta").revoked
    registry = Registry.read(folder / "server/registry.json")
    assert [party.name for party in registry.active] == ["alpha", "auditor"]
    for name in ("alpha", "auditor"):
        kit = folder / "kits" / name
        check_kit(kit)
        listed = {
            file: set(json.loads((kit / file).read_text()))
            for file in ("identities.json", "identities-encrypted.json")
        }
        assert listed == {"identities.json": {"0"}, "identities-encrypted.json": {"0", "2"}}
    with pytest.raises(ConfigurationError, match="revoked already"):
        revoke(folder, "beta")
    with pytest.raises(ConfigurationError, match=r"no party 'delta'.*alpha, beta, auditor"):
        revoke(folder, "delta")


def test_a_party_may_make_its_own_keys(tmp_path: Path) -> None:
    own = tmp_path / "elsewhere"
    node_key, identity = make_keys(own)
    made = tmp_path / "consortium"
    members = [{"name": "alpha", "node_key": f"{node_key} me@home", "identity": identity}]
    provision(consortium(participants=members, key_holders=[]), made)
    kit = made / "kits/alpha"
    assert not (kit / "node.key").exists()
    assert Registry.read(made / "server/registry.json").parties[0].node_key == node_key
    for name in ("node.key", "identity.key"):
        (kit / name).write_bytes((own / name).read_bytes())
        (kit / name).chmod(0o600)
    check_kit(kit)
    with pytest.raises(ConfigurationError, match="never replaced"):
        make_keys(own)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "cannot be read"),
        ("- a", "must have keys"),
        ("name: x", r"server: field required"),
        ("name: x\nserver: {address: nowhere}\nparticipants: [{name: a}]", r"server\.address"),
        ("name: x\nserver: {address: 'a:1'}\nparticipants: []", "participants"),
        ("name: x\nserver: {address: 'a:1'}\nparticipants: [{name: a}, {name: A}]", "twice"),
        ("name: x\nserver: {address: 'a:1'}\nparticipants: [{name: ../a}]", "name='../a'"),
        (
            "name: x\nserver: {address: 'a:1'}\nparticipants: [{name: a, identity: '%s'}]"
            % ("0" * 64),
            "gives one of node_key and identity",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_the_key(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "consortium.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        Consortium.read(path)


def test_a_party_with_anothers_key_is_refused(folder: Path) -> None:
    path = folder / "server/registry.json"
    values = json.loads(path.read_text())
    values["parties"][1]["identity"] = values["parties"][2]["identity"]
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigurationError, match="two parties have the identity"):
        Registry.read(path)
