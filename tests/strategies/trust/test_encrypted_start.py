"""How encrypted sums begin: one key holder, known identities, and settings that can work."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure.masked import IdentityKey
from tests.strategies.trust.encrypted import (
    ALL,
    HOLDER,
    Make,
    N,
    encrypted,
    failing,
    federated,
    refused,
)


def test_two_key_holders_arerefused(five: Make) -> None:
    said = refused(five, kind=ConfigurationError, node_configs={0: {"role": "key-holder"}})
    assert "needs one key holder, and 2 nodes say they are one" in said


def test_no_key_holder_isrefused(five: Make) -> None:
    """The node behind the participants has another role, which nobody knows."""
    said = refused(five, kind=ConfigurationError, node_configs={N: {"role": "keyholder"}})
    assert "no node says it is one" in said
    assert "role='keyholder'" in said


def test_a_participant_with_the_key_holders_identity_isrefused(five: Make, tmp_path: Any) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(IdentityKey.generate().private_bytes)
    configs = {k: {"identity-key": str(path)} for k in (1, HOLDER)}
    said = refused(five, kind=ConfigurationError, node_configs=configs)
    assert "the key holder has the identity key of a participant" in said


def test_of_two_participants_with_one_identity_the_second_is_left_out(
    five: Make, tmp_path: Any
) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(IdentityKey.generate().private_bytes)
    configs = {k: {"identity-key": str(path)} for k in (1, 2)}
    with federated(encrypted(five), node_configs=configs) as federation:
        assert len(federation.members.participants) == N - 1
        ((_, reason),) = federation.members.refusals
        assert reason == "it sent the identity key of another participant"
        federation.prepare().round()
        assert len(federation.heard) == N - 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pad": None}, "it sent no signed public key of pads"),
        ({"pad": b"short"}, "the pad key of 1 has 5 bytes, and 32 are expected"),
        ({"pad": bytes(range(32))}, "a signature is not that of member 1"),
        ({"pad-signature": 7}, "it sent no signed public key of pads"),
    ],
)
def test_one_without_a_pad_key_is_left_out(five: Make, fields: Any, said: str) -> None:
    def lie(reply: Message) -> Message:
        changed = {**reply.content.config_records["secure.greeting"], **fields}
        kept = {name: value for name, value in changed.items() if value is not None}
        reply.content["secure.greeting"] = ConfigRecord(kept)
        return reply

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return lie if number == 1 and "greeting" in stages else None

    with federated(encrypted(five), fate) as federation:
        ((_, reason),) = federation.members.refusals
        assert said in reason
        federation.prepare().round()
        assert federation.heard == ALL - {1}


def _identities(tmp_path: Any, swapped: int | None = None) -> tuple[str, dict[int, dict[str, str]]]:
    """A file of everybody's public keys, one of which may be wrong, and the nodes' settings."""
    keys = {number: IdentityKey.generate() for number in range(N + 1)}
    for number, key in keys.items():
        (tmp_path / f"{number}.key").write_bytes(key.private_bytes)
    listed = {str(number): key.public_bytes.hex() for number, key in keys.items()}
    if swapped is not None:
        listed[str(swapped)] = IdentityKey.generate().public_bytes.hex()
    path = tmp_path / "identities.json"
    path.write_text(json.dumps(listed))
    configs = {number: {"identity-key": str(tmp_path / f"{number}.key")} for number in keys}
    return f"aggregation.identities={path}", configs


@pytest.mark.parametrize("absent", [None, N - 1])
def test_a_file_of_identities_holds_the_key_holders_number(
    five: Make, tmp_path: Any, absent: int | None
) -> None:
    """Also where the last participant does not come."""
    override, configs = _identities(tmp_path)
    fate = failing({-1 if absent is None else absent}, "greeting", range(-1, 0), "lost")
    settings = encrypted(five, override)
    with federated(settings, fate, node_configs=configs) as federation:
        federation.prepare().round()
        assert federation.heard == ALL - {absent}


@pytest.mark.parametrize("swapped", [1, HOLDER])
def test_a_key_that_the_file_does_not_have_isrefused(
    five: Make, tmp_path: Any, swapped: int
) -> None:
    """By the key holder, so that there are no keys."""
    override, configs = _identities(tmp_path, swapped)
    kind = ProtocolError if swapped == 1 else ConfigurationError
    said = refused(five, None, override, kind=kind, node_configs=configs)
    expected = {
        1: "lists a public key for participant 1 that aggregation.identities=",
        HOLDER: "lists the key holder's own key 0 times",
    }
    assert expected[swapped] in said


def test_settings_that_can_never_work_arerefused(five: Make) -> None:
    for overrides, reason in (
        (("aggregation.min_contributors=6",), "min_contributors=6 cannot be reached by 5"),
        (("strategy.fraction_train=0.5",), "set strategy.fraction_train=1, or aggregation=plain"),
        (
            ("strategy=robust", "strategy.rule=median"),
            "strategy=federated_averaging for their mean",
        ),
        (("aggregation.sum_resolution=1e-13",), "bfv: 5 members need a plain modulus of at least"),
        (("aggregation.scheme=ckks", "aggregation.sum_bound=1e12"), "bfv: 5 members need a plain"),
        (
            ("aggregation.scheme=ckks", "aggregation.clip_resolution=1e-19"),
            "segment 'update': sums of 6 members",
        ),
        (
            ("aggregation.scheme=paillier", "aggregation.sum_bound=1e15"),
            "paillier: a modulus of 10737418240000000000000001 is asked for",
        ),
    ):
        said = refused(five, None, *overrides, kind=ConfigurationError)
        assert reason in said, said
