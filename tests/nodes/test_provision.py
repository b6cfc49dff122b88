import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from fedtrade.errors import ConfigurationError, OutputError
from fedtrade.nodes import provision as module
from fedtrade.nodes.certificates import served_by
from fedtrade.nodes.kits import check_kit, make_keys, public_keys, write_manifest
from fedtrade.nodes.provision import provision, renew, revoke
from fedtrade.nodes.registry import Registry
from fedtrade.nodes.superlink import SuperLink
from tests.nodes.provisioned import PARTIES, assert_secret, consortium, named, outcomes

ROOT = Path(__file__).parents[2]
FILE = """\
name: demo
server: {address: 'fed.example.com:8443'}
participants: [{name: alpha}, {name: beta}]
key_holders: [{name: auditor}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "consortium"
    provision(consortium(), place)
    return place


def contents(folder: Path, pattern: str = "*") -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_private_files_are_their_owners_alone_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        provision(consortium(), tmp_path / "made")
    finally:
        os.umask(before)
    kits = tmp_path / "made/kits"
    private = [
        tmp_path / "made/authority/ca.key",
        tmp_path / "made/server/server.key",
        *(kits / name / key for name in PARTIES for key in ("node.key", "identity.key")),
    ]
    assert set(tmp_path.rglob("*.key")) == set(private)
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_register_has_the_keys_of_the_kits(folder: Path) -> None:
    registry = Registry.read(folder / "server/registry.json")
    assert [(p.name, p.number, p.role) for p in registry.parties] == [
        ("alpha", 0, "participant"),
        ("beta", 1, "participant"),
        ("auditor", 2, "key_holder"),
    ]
    for party in registry.parties:
        assert public_keys(folder / "kits" / party.name) == (party.node_key, party.identity)


def test_running_it_again_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    made = provision(consortium(), folder)
    assert set(outcomes(made).values()) == {"kept"}
    assert [outcome.split(",")[0] for _, outcome in made.certificates] == ["kept", "kept"]
    assert contents(folder) == before


def test_a_participant_joins_before_the_key_holder(folder: Path) -> None:
    before = contents(folder, "*.key")
    more = consortium(participants=named("alpha", "beta", "gamma"))
    assert outcomes(provision(more, folder)) == {
        "alpha": "kept",
        "beta": "kept",
        "gamma": "new",
        "auditor": "kept, its number is 3 now",
    }
    assert all(path.read_bytes() == content for path, content in before.items())
    registry = Registry.read(folder / "server/registry.json")
    assert [(p.name, p.number) for p in registry.parties] == [
        ("alpha", 0),
        ("beta", 1),
        ("gamma", 2),
        ("auditor", 3),
    ]
    assert yaml.safe_load((folder / "kits/auditor/client.yaml").read_text())["number"] == 3
    for kit in (folder / "kits").iterdir():
        check_kit(kit)
        listed = json.loads((kit / "identities-encrypted.json").read_text())
        assert listed == {str(p.number): p.identity for p in registry.parties}


def test_a_key_holder_may_come_later(tmp_path: Path) -> None:
    provision(consortium(key_holders=[]), tmp_path)
    assert not (tmp_path / "server/identities-encrypted.json").exists()
    before = contents(tmp_path, "*.key")
    assert outcomes(provision(consortium(), tmp_path))["auditor"] == "new"
    assert all(path.read_bytes() == content for path, content in before.items())
    for kit in (tmp_path / "kits").iterdir():
        check_kit(kit)
        assert len(json.loads((kit / "identities-encrypted.json").read_text())) == 3


def test_private_keys_may_be_elsewhere_by_then(folder: Path, tmp_path: Path) -> None:
    """The authority offline, and the parties' keys handed over: nothing of it is made anew."""
    authority = (folder / "server/ca.crt").read_bytes()
    shutil.move(folder / "authority", tmp_path / "offline")
    shutil.rmtree(folder / "kits/beta")
    (folder / "kits/alpha/node.key").unlink()
    (folder / "kits/alpha/identity.key").unlink()
    before = Registry.read(folder / "server/registry.json")
    more = consortium(participants=named("alpha", "beta", "gamma"))
    assert outcomes(provision(more, folder))["alpha"] == "kept"
    after = Registry.read(folder / "server/registry.json")
    keys = {party.name: (party.node_key, party.identity) for party in after.parties}
    for party in before.parties:
        assert keys[party.name] == (party.node_key, party.identity)
    for name in ("alpha", "beta", "gamma"):
        assert (folder / "kits" / name / "ca.crt").read_bytes() == authority
        assert (folder / "kits" / name / "node.key").exists() == (name == "gamma")
    assert list((folder / "authority").iterdir()) == []


def test_what_was_interrupted_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, the keys that were made are those that are registered in the end."""

    def stop(*_: object, **__: object) -> None:
        raise OutputError("the disk is full.")

    for name in ("write_identities", "write_kit", "_keys_of", "_issue"):
        place = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stop)
            with pytest.raises(OutputError):
                provision(consortium(), place)
        before = contents(place, "*.key")
        provision(consortium(), place)
        assert all(path.read_bytes() == content for path, content in before.items())
        for kit in (place / "kits").iterdir():
            check_kit(kit)
    (tmp_path / "_issue/authority/ca.crt").unlink()
    (tmp_path / "_issue/server/ca.crt").unlink()
    key = (tmp_path / "_issue/authority/ca.key").read_bytes()
    provision(consortium(), tmp_path / "_issue")
    assert (tmp_path / "_issue/authority/ca.key").read_bytes() == key


def test_what_does_not_fit_what_is_there_is_refused(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    with pytest.raises(ConfigurationError, match=r"beta is registered .* revoke beta"):
        provision(consortium(participants=named("alpha")), folder)
    with pytest.raises(ConfigurationError, match=r"auditor.*another role"):
        provision(consortium(participants=named(*PARTIES), key_holders=[]), folder)
    node_key, identity = make_keys(tmp_path / "own")
    own = {"name": "alpha", "node_key": node_key, "identity": identity}
    with pytest.raises(ConfigurationError, match=r"alpha is registered with another node_key"):
        provision(consortium(participants=[own, *named("beta")]), folder)
    assert contents(folder) == before
    make_keys(tmp_path / "other")
    shutil.copy(tmp_path / "other/identity.key", folder / "kits/beta/identity.key")
    with pytest.raises(ConfigurationError, match=r"beta is registered with another identity"):
        provision(consortium(), folder)


def test_a_consortium_without_its_register_is_not_made_a_second_time(folder: Path) -> None:
    (folder / "server/registry.json").unlink()
    before = contents(folder)
    with pytest.raises(ConfigurationError, match=r"registry\.json is not there.*put .* back"):
        provision(consortium(), folder)
    assert contents(folder) == before


def test_a_certificate_that_does_not_fit_any_more_is_told(folder: Path) -> None:
    moved = consortium(server={"address": "new.example.com:8443"})
    _, (_, said) = provision(moved, folder).certificates
    assert "not for new.example.com: `fedtrade provision renew`" in said
    renew(moved, folder)
    _, (_, said) = provision(moved, folder).certificates
    assert said.startswith("kept, until")
    assert "renew" not in said


def test_renewal_keeps_the_authority_and_all_keys(folder: Path) -> None:
    before = contents(folder)
    until = renew(consortium(valid_days=20), folder)
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"server.crt", "server.key"}
    assert abs(until - datetime.now(UTC) - timedelta(days=20)) < timedelta(minutes=5)
    assert served_by((folder / "server/server.crt").read_bytes()).until == until
    (folder / "authority/ca.key").unlink()
    with pytest.raises(ConfigurationError, match=r"has no ca\.key"):
        renew(consortium(), folder)
    with pytest.raises(ConfigurationError, match=r"has no consortium"):
        renew(consortium(), folder / "nowhere")


def test_a_revoked_party_is_known_to_nobody(folder: Path) -> None:
    assert revoke(folder, "beta").revoked
    registry = Registry.read(folder / "server/registry.json")
    assert [party.name for party in registry.active] == ["alpha", "auditor"]
    for place in (folder / "server", folder / "kits/alpha", folder / "kits/auditor"):
        listed = {
            file: set(json.loads((place / file).read_text()))
            for file in ("identities.json", "identities-encrypted.json")
        }
        assert listed == {"identities.json": {"0"}, "identities-encrypted.json": {"0", "2"}}
    check_kit(folder / "kits/alpha")
    with pytest.raises(ConfigurationError, match="revoked already"):
        revoke(folder, "beta")
    with pytest.raises(ConfigurationError, match=r"no party 'delta'.*alpha, beta, auditor"):
        revoke(folder, "delta")


def test_a_revoked_party_does_not_come_back_and_its_number_is_not_given_again(folder: Path) -> None:
    revoke(folder, "beta")
    assert outcomes(provision(consortium(), folder))["beta"] == "revoked"
    provision(consortium(participants=named("alpha", "gamma")), folder)
    registry = Registry.read(folder / "server/registry.json")
    assert {p.name: (p.number, p.revoked) for p in registry.parties} == {
        "alpha": (0, False),
        "beta": (1, True),
        "gamma": (2, False),
        "auditor": (3, False),
    }


def test_a_key_holder_that_was_taken_out_is_in_no_list(folder: Path) -> None:
    revoke(folder, "auditor")
    for place in (folder / "server", folder / "kits/alpha"):
        assert json.loads((place / "identities-encrypted.json").read_text()) == {}
    check_kit(folder / "kits/alpha")
    provision(consortium(key_holders=named("notary")), folder)
    listed = json.loads((folder / "kits/alpha/identities-encrypted.json").read_text())
    assert set(listed) == {"0", "1", "3"}


def test_a_party_may_make_its_own_keys(tmp_path: Path) -> None:
    own = tmp_path / "elsewhere"
    node_key, identity = make_keys(own)
    made = tmp_path / "consortium"
    members = [{"name": "alpha", "node_key": f"{node_key} me@home", "identity": identity}]
    provision(consortium(participants=members, key_holders=[]), made)
    kit = made / "kits/alpha"
    assert list(kit.glob("*.key")) == []
    assert "that you have made here" in (kit / "README.txt").read_text()
    with pytest.raises(ConfigurationError, match=r"private key .*node\.key cannot be read"):
        check_kit(kit)
    assert Registry.read(made / "server/registry.json").parties[0].node_key == node_key
    for name in ("node.key", "identity.key"):
        shutil.copy(own / name, kit / name)
    check_kit(kit)
    keys = [own / "node.key", own / "identity.key"]
    texts = {str(path): content for path, content in contents(made).items() if path.parent != kit}
    assert_secret(keys, texts)


def test_no_party_has_the_keys_of_another(tmp_path: Path) -> None:
    """Nor of one that was taken out; nothing is made then."""
    made = tmp_path / "consortium"
    node_key, identity = make_keys(tmp_path / "own")
    own = {"node_key": node_key, "identity": identity}
    twins = [{"name": "alpha", **own}, {"name": "beta", **own}]
    with pytest.raises(ConfigurationError, match="alpha and beta have the same node_key; make new"):
        provision(consortium(participants=twins, key_holders=[]), made)
    assert not made.exists()
    first = [{"name": "alpha", **own}, {"name": "gamma"}]
    provision(consortium(participants=first, key_holders=[]), made)
    revoke(made, "alpha")
    before = contents(made)
    again = [*first, {"name": "alpha2", **own}]
    with pytest.raises(ConfigurationError, match="alpha and alpha2 have the same node_key"):
        provision(consortium(participants=again, key_holders=[]), made)
    assert contents(made) == before


def test_a_server_does_not_start_with_a_key_that_others_may_read(tmp_path: Path) -> None:
    made = tmp_path / "consortium"
    provision(consortium(), made)
    (made / "server/server.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"server\.key has mode 0644.*chmod 600"):
        SuperLink(made / "server", "127.0.0.1", 1)


def fedtrade(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fedtrade.cli", "provision", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def test_a_certificate_is_renewed_beside_its_file(tmp_path: Path) -> None:
    """And not that of another consortium in the working folder."""
    other = tmp_path / "other"
    other.mkdir()
    for folder in (tmp_path, other):
        (folder / "consortium.yaml").write_text(FILE)
        assert fedtrade("consortium.yaml", cwd=folder).returncode == 0
    here, there = (p / "consortium/server/server.crt" for p in (tmp_path, other))
    before = here.read_bytes(), there.read_bytes()
    done = fedtrade("renew", "other/consortium.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert here.read_bytes() == before[0]
    assert there.read_bytes() != before[1]


def test_what_a_kit_sets_by_itself_is_said(tmp_path: Path) -> None:
    (tmp_path / "consortium.yaml").write_text(FILE)
    assert fedtrade("consortium.yaml", cwd=tmp_path).returncode == 0
    kit = tmp_path / "consortium/kits/alpha"
    settings = kit / "client.yaml"
    settings.write_text(settings.read_text() + "code: bundle\nexecutor: stock\n")
    write_manifest(kit)
    said = fedtrade("check", str(kit), cwd=tmp_path).stdout.decode()
    assert "whoever made it, sets code='bundle', executor='stock'." in " ".join(said.split())
    settings.write_text(settings.read_text() + "hydra: {job: {name: x}}\n")
    write_manifest(kit)
    done = fedtrade("check", str(kit), cwd=tmp_path)
    assert done.returncode == 2
    assert b"has the key 'hydra', which no kit has" in done.stdout


def test_the_commands_tell_no_private_key(tmp_path: Path) -> None:
    (tmp_path / "consortium.yaml").write_text(FILE)
    said = {}
    for arguments in (
        ("consortium.yaml",),
        ("check", "consortium/kits/alpha"),
        ("keys", "own"),
        ("revoke", "beta"),
        ("renew", "consortium.yaml"),
        ("consortium.yaml",),
    ):
        done = fedtrade(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        said[" ".join([*arguments, str(len(said))])] = done.stdout
    assert b"revoked" in done.stdout
    (tmp_path / "consortium/kits/alpha/node.key").write_bytes(b"nonsense")
    done = fedtrade("check", "consortium/kits/alpha", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.decode().splitlines()[0].startswith("Error: kit=consortium/kits/alpha:")
    assert len(done.stdout.splitlines()) == 1
    keys = [path for path in tmp_path.rglob("*.key") if path.read_bytes() != b"nonsense"]
    assert len(keys) == 9
    files = {str(path): content for path, content in contents(tmp_path).items()}
    assert_secret(keys, said | files)
