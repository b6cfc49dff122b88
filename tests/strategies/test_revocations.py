from pathlib import Path

import pytest

from fedtrade.nodes.registry import REGISTRY_VARIABLE, Party, Registry
from strategies.replies import Refusal
from strategies.revocations import Revocations


def party(number: int, *, revoked: bool = False) -> Party:
    return Party(
        name=f"party-{number}",
        number=number,
        role="participant",
        node_key=f"ecdsa-sha2-nistp384 {number}",
        identity=f"{number:064x}",
        revoked=revoked,
    )


def write(path: Path, *revoked: int) -> None:
    Registry(parties=tuple(party(k, revoked=k in revoked) for k in range(3))).write(path)


def test_each_revocation_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    write(path)
    revocations = Revocations({10: party(0), 11: party(1), 12: party(2)}, path)
    assert revocations.found() == []
    write(path, 1)
    assert revocations.found() == [Refusal(11, "party-1 has been revoked")]
    assert revocations.found() == []
    write(path, 0, 1)
    assert revocations.found() == [Refusal(10, "party-0 has been revoked")]
    assert revocations.nodes == {10, 11}


def test_a_register_that_cannot_be_read_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    revocations = Revocations({10: party(0)}, path)
    assert revocations.found() == []
    path.write_text("{")
    assert revocations.found() == []
    write(path, 0)
    assert [refusal.node_id for refusal in revocations.found()] == [10]


def test_a_party_is_known_by_its_key(tmp_path: Path) -> None:
    """Not by a name that somebody else may have by now."""
    path = tmp_path / "registry.json"
    other = party(1).model_copy(update={"name": "party-0"})
    write(path, 0)
    assert Revocations({10: other}, path).found() == []


def test_without_a_register_nobody_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    assert Revocations({10: party(0)}).found() == []
