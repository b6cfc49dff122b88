from pathlib import Path

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.certificates import make_node_key, node_public
from fedtrade.nodes.consortium import Consortium

HEAD = "name: x\nserver: {address: 'a:1'}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "consortium.yaml"


def test_all_that_a_file_may_say_is_read(path: Path) -> None:
    public = node_public(make_node_key())
    (path.parent / "beta.pub").write_text(f"{public} beta@home\n")
    path.write_text(
        "name: demo\n"
        "server: {address: '[::1]:8443', hosts: [fed.example.com, '*.example.org', 10.0.0.7]}\n"
        "participants:\n"
        "  - {name: alpha, settings: {allow: {modes: [masked]}, rejoin_s: 60}}\n"
        f"  - {{name: beta, node_key: beta.pub, identity: {'ab' * 32}}}\n"
        "key_holders: [{name: auditor}]\n"
        "valid_days: 30\n"
    )
    read = Consortium.read(path)
    assert (read.server.host, read.server.port) == ("::1", 8443)
    assert [member.name for member in read.members] == ["alpha", "beta", "auditor"]
    alpha, beta = read.participants
    assert not alpha.brings_keys
    assert beta.brings_keys
    assert beta.node_key == public
    assert read.valid_days == 30


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "cannot be read"),
        ("- a", "must have keys"),
        ("name: x", r"server: field required"),
        ("name: x\nserver: {address: nowhere}\nparticipants: [{name: a}]", r"server\.address"),
        ("name: x\nserver: {address: 'a:0'}\nparticipants: [{name: a}]", "no port from 1 to 65535"),
        ("name: x\nserver: {address: 'a:99999'}\nparticipants: [{name: a}]", "no port from 1"),
        (
            "name: x\nserver: {address: 'a:1', hosts: ['b:8443']}\nparticipants: [{name: a}]",
            "'b:8443' is neither an address nor a name",
        ),
        (
            "name: x\nserver: {address: 'börse.de:1'}\nparticipants: [{name: a}]",
            "'börse.de' is neither an address nor a name",
        ),
        (f"{HEAD}participants: []", "participants"),
        (f"{HEAD}participants: [{{name: a}}, {{name: A}}]", "twice"),
        (f"{HEAD}participants: [{{name: ../a}}]", "name='../a'"),
        (f"{HEAD}participants: [{{name: a}}]\nvalid_days: 0", "valid_days=0"),
        (f"{HEAD}participants: [{{name: a, identity: '{'0' * 64}'}}]", "gives one of node_key and"),
        (
            f"{HEAD}participants: [{{name: a, node_key: nothing.pub, identity: '{'0' * 64}'}}]",
            r"participants\.0\.node_key: must be the public EC key",
        ),
        (f"{HEAD}participants: [{{name: a, settings: {{nme: b}}}}]", "there is no key 'nme'"),
        (f"{HEAD}participants: [{{name: a, settings: {{number: 3}}}}]", "'number' follows from"),
        (
            f"{HEAD}participants: [{{name: a, settings: {{allow: {{modes: [hidden]}}}}}}]",
            r"allow\.modes\.0='hidden'",
        ),
        (
            f"{HEAD}participants: [{{name: a, settings: {{privacy: {{least: bogus}}}}}}]",
            r"privacy\.least='bogus'",
        ),
        (f"{HEAD}participants: [{{name: a, settings: {{poll_s: fast}}}}]", "poll_s='fast'"),
        (
            f"{HEAD}participants: [{{name: Alpha}}, {{name: alpha}}]",
            r"yaml: the party 'Alpha' is there twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_the_key(path: Path, text: str, reason: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Consortium.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_private_key_given_by_mistake_is_not_told(path: Path) -> None:
    private = make_node_key().decode()
    (path.parent / "node.key").write_text(private)
    path.write_text(f"{HEAD}participants: [{{name: a, node_key: node.key, identity: my secret}}]")
    with pytest.raises(ConfigurationError) as caught:
        Consortium.read(path)
    said = str(caught.value)
    assert "participants.0.node_key: must be the public EC key" in said
    assert "participants.0.identity: must be a public identity key" in said
    assert "my secret" not in said
    assert not any(line in said for line in private.splitlines()[1:-1])
