import json
import subprocess
from pathlib import Path

import pytest
import yaml

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.kits import check_kit, make_keys, public_keys
from fedtrade.nodes.provision import provision
from tests.nodes.provisioned import PARTIES, consortium


@pytest.fixture
def kits(tmp_path: Path) -> Path:
    provision(consortium(), tmp_path)
    return tmp_path / "kits"


def test_a_kit_has_all_that_a_party_needs(kits: Path) -> None:
    assert sorted(path.name for path in kits.iterdir()) == sorted(PARTIES)
    for kit in kits.iterdir():
        assert sorted(path.name for path in kit.iterdir()) == [
            "MANIFEST.sha256",
            "README.txt",
            "ca.crt",
            "client.yaml",
            "identities-encrypted.json",
            "identities.json",
            "identity.key",
            "node.key",
            "node.pub",
        ]
        lines = (kit / "README.txt").read_text().splitlines()
        assert len(lines) == 3
        assert f"node of {kit.name}" in lines[0]
    settings = yaml.safe_load((kits / "alpha/client.yaml").read_text())
    assert settings["superlink"] == "fed.example.com:8443"
    assert settings["allow"] == {"most_rounds": 5}
    assert yaml.safe_load((kits / "auditor/client.yaml").read_text())["role"] == "key_holder"


def test_a_kit_is_checked_as_sha256sum_does(kits: Path) -> None:
    kit = kits / "alpha"
    check_kit(kit)
    listed = (kit / "MANIFEST.sha256").read_text().splitlines()
    names = {line.split("  ")[1] for line in listed}
    assert names == {path.name for path in kit.iterdir()} - {"MANIFEST.sha256"}
    done = subprocess.run(["sha256sum", "-c", "--strict", "MANIFEST.sha256"], cwd=kit, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "name", ["ca.crt", "client.yaml", "identities.json", "node.key", "README.txt"]
)
def test_a_changed_or_missing_file_is_named(kits: Path, name: str) -> None:
    path = kits / "alpha" / name
    path.write_bytes(path.read_bytes() + b"#")
    with pytest.raises(ConfigurationError, match=f"{name} is not the file"):
        check_kit(path.parent)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        check_kit(path.parent)


def test_a_manifest_that_leaves_out_what_counts_is_refused(kits: Path) -> None:
    path = kits / "alpha/MANIFEST.sha256"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "ca.crt" not in line))
    with pytest.raises(ConfigurationError, match=r"lists no ca\.crt"):
        check_kit(path.parent)
    path.write_text("".join(line.replace("  ca.crt", "  ../../authority/ca.crt") for line in lines))
    with pytest.raises(ConfigurationError, match=r"lists no ca\.crt"):
        check_kit(path.parent)
    path.write_text("".join([*lines, f"{'0' * 64}  ../beta/node.key\n"]))
    with pytest.raises(ConfigurationError, match="is missing"):
        check_kit(path.parent)
    path.unlink()
    with pytest.raises(ConfigurationError, match="manifest cannot be read"):
        check_kit(path.parent)


@pytest.mark.parametrize("name", ["node.key", "identity.key"])
def test_a_key_that_others_may_read_is_refused(kits: Path, name: str) -> None:
    (kits / "beta" / name).chmod(0o640)
    with pytest.raises(ConfigurationError, match=rf"{name} has mode 0640.*chmod 600"):
        check_kit(kits / "beta")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("node.key", r"does not belong to node\.pub"),
        ("identity.key", r"belongs to none of the public keys"),
    ],
)
def test_keys_that_are_not_the_registered_ones_are_refused(
    kits: Path, tmp_path: Path, name: str, reason: str
) -> None:
    kit, own = kits / "alpha", tmp_path / "own"
    make_keys(own)
    (kit / name).write_bytes((own / name).read_bytes())
    manifest = kit / "MANIFEST.sha256"
    lines = manifest.read_text().splitlines(keepends=True)
    # As in the kit of a party that makes its own keys.
    manifest.write_text("".join(line for line in lines if name not in line))
    with pytest.raises(ConfigurationError, match=reason):
        check_kit(kit)


def test_keys_are_made_once_and_what_is_missing_is_made(tmp_path: Path) -> None:
    first = make_keys(tmp_path)
    assert make_keys(tmp_path) == first == public_keys(tmp_path)
    (tmp_path / "identity.key").unlink()
    node, identity = make_keys(tmp_path)
    assert node == first[0]
    assert identity != first[1]
    (tmp_path / "node.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0644"):
        make_keys(tmp_path)
    (tmp_path / "node.key").chmod(0o600)
    (tmp_path / "node.key").write_text("nonsense")
    with pytest.raises(ConfigurationError, match=r"node\.key: a node's private key must be an EC"):
        make_keys(tmp_path)
    assert (tmp_path / "node.key").read_text() == "nonsense"


def test_a_kit_lists_the_public_keys_of_each_trust_mode(kits: Path) -> None:
    for kit in kits.iterdir():
        _, identity = public_keys(kit)
        number = str(PARTIES.index(kit.name))
        listed = json.loads((kit / "identities-encrypted.json").read_text())
        assert listed[number] == identity
        assert set(listed) == {"0", "1", "2"}
        assert set(json.loads((kit / "identities.json").read_text())) == {"0", "1"}
