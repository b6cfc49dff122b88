"""Whose nodes take part, on Flower's own SuperLink with registered keys and names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.nodes.registry import REGISTRY_VARIABLE, Party, Registry
from fedtrade.secure.wire import GREETING, IDENTITY
from fedtrade.wire import CONFIG, KEY_HOLDER, METRICS, ROLE, VERSION, own_version, seconds_of
from strategies.membership import Membership, discover
from strategies.parties import Parties
from tests.strategies.link import Link

Told = dict[str, Any]

NAMES = ("alpha", "beta", "gamma", "audit")
HOLDER = 3
FEW: dict[str, Any] = {"n_expected": 1, "n_key_holders": 0}
BARS = seconds_of(np.datetime64("2000-01-01", "s") + np.arange(10) * np.timedelta64(1, "D"))
KEYS = [ec.generate_private_key(ec.SECP384R1()).public_key() for _ in range(5)]
LINES = [
    key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    for key in KEYS
]
PEMS = [
    key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for key in KEYS
]


def identity(number: int) -> bytes:
    return bytes([number + 1]) * 32


def party(number: int, **changes: Any) -> Party:
    values = {
        "name": NAMES[number],
        "number": number,
        "role": "key_holder" if number == HOLDER else "participant",
        "node_key": f"{LINES[number]} {NAMES[number]}@machine",
        "identity": identity(number).hex(),
    }
    return Party.from_mapping(values | changes)


def registry(*parties: Party) -> Registry:
    return Registry(parties=parties or tuple(party(k) for k in range(4)))


def answer_of(tell: Callable[[int], Told]) -> ClientApp:
    """Each node says what it is; `tell` changes that for some."""
    app = ClientApp()

    @app.query("describe")
    def describe(message: Message, context: Context) -> Message:
        k = int(context.node_config["partition-id"])
        told: Told = {"number": k, "role": None, "identity": identity(k), "version": own_version()}
        told |= {"role": KEY_HOLDER} if k == HOLDER else {}
        told |= tell(k)
        config = {ROLE: told["role"], VERSION: told["version"]}
        records = RecordDict(
            {
                "arrays": ArrayRecord({"bars": Array(BARS)}),
                METRICS: MetricRecord({"participant": told["number"]}),
                CONFIG: ConfigRecord({k: v for k, v in config.items() if v is not None}),
                GREETING: ConfigRecord({IDENTITY: told["identity"]}),
            }
        )
        return Message(records, reply_to=message)

    return app


def found(
    tell: Callable[[int], Told] = lambda k: {},
    *,
    register: Registry | None = None,
    n_key_holders: int = 1,
    n_expected: int = 4,
    keys: Sequence[int] = (0, 1, 2, 3),
    names: Sequence[str] = NAMES,
    **options: Any,
) -> tuple[Membership, dict[str, str]]:
    """The members, and reasons of refusals by the number of the node."""
    parties = Parties.of(register or registry(), "encrypted", n_key_holders)
    link = Link(answer_of(tell), len(keys), names=names, keys=[PEMS[k] for k in keys])
    with link:
        members = discover(link.grid, n_expected, 10.0, parties=parties, **options)
    reasons = {str(link.nodes.index(node)): reason for node, reason in members.refusals}
    return members, reasons


def test_parties_are_known_by_their_keys() -> None:
    members, reasons = found()
    assert reasons == {}
    assert sorted(members.participants.values()) == [0, 1, 2]
    assert {members.name_of(node): members.number_of(node) for node in members.parties} == {
        "alpha": 0,
        "beta": 1,
        "gamma": 2,
        "audit": -1,
    }
    (holder,) = members.key_holders
    assert members.title_of(holder) == "audit"
    assert (members.name_of(1), members.title_of(1), members.number_of(1)) == ("", "node 1", -1)


def test_a_key_holder_is_not_asked_where_the_mode_needs_none() -> None:
    members, reasons = found(n_key_holders=0, n_expected=3)
    assert (members.key_holders, reasons) == ((), {})
    assert len(members.parties) == 3


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"number": 2}, "its number is 2, and beta has the number 1"),
        ({"number": 0}, "its number is 0, and beta has the number 1"),
        ({"role": KEY_HOLDER}, "it is a key holder, and beta is registered as a participant"),
        ({"identity": identity(2)}, "public identity key is not that of beta in the register"),
        ({"version": "0.0.1, messages 1"}, "its node is fedtrade 0.0.1, messages 1, and this is"),
        ({"version": None}, "its node does not say which fedtrade it is"),
    ],
)
def test_who_says_to_be_somebody_else_is_left_out(told: Told, reason: str) -> None:
    members, reasons = found(lambda k: told if k == 1 else {})
    assert list(reasons) == ["1"]
    assert reason in reasons["1"]
    assert sorted(members.participants.values()) == [0, 2]
    left_out = members.refusals[0].node_id
    assert (members.name_of(left_out), members.number_of(left_out)) == ("beta", 1)


def test_a_key_holder_that_says_to_take_part_is_left_out() -> None:
    members, reasons = found(lambda k: {"role": None} if k == HOLDER else {})
    assert "it is a participant, and audit is registered as a key holder" in reasons["3"]
    assert members.key_holders == ()


def test_a_key_that_is_not_in_the_register_is_not_asked() -> None:
    """Even if its node says that it is somebody who is."""
    tell = {"number": 1, "identity": identity(1)}
    members, reasons = found(lambda k: tell, keys=(1, 4), names=("beta", "beta"), **FEW)
    assert reasons == {"1": "its key is not in the register"}
    assert list(members.participants.values()) == [1]


def test_a_revoked_party_is_not_asked() -> None:
    register = registry(party(0, revoked=True), party(1), party(2))
    members, reasons = found(register=register, keys=(0, 1, 2), names=NAMES[:3], **FEW)
    assert reasons == {"0": "alpha has been revoked"}
    assert sorted(members.participants.values()) == [1, 2]


def test_a_name_that_the_server_has_for_another_key_is_refused() -> None:
    _, reasons = found(names=("alpha", "gamma", "gamma", "audit"), n_expected=3)
    assert reasons == {
        "1": "its key is registered as that of 'gamma', and in the register it is that of 'beta'"
    }


def test_who_is_missing_is_named() -> None:
    arrivals: list[set[str]] = []
    with pytest.raises(FedtradeError) as caught:
        found(
            keys=(0, 2),
            names=("alpha", "gamma"),
            join_s=0.1,
            on_arrival=lambda there: arrivals.append({p.name for p in there.values()}),
        )
    assert str(caught.value) == (
        "2 of 4 nodes came within 0.1 s, and beta, audit did not; start theirs, or set "
        "federation.quorum to go on without some."
    )
    assert arrivals == [{"alpha", "gamma"}]


def test_with_a_quorum_a_run_begins_without_some() -> None:
    members, _ = found(keys=(0, 2), names=("alpha", "gamma"), join_s=0.1, n_least=2)
    assert len(members.participants) == 1  # the second says that it is beta


@pytest.mark.parametrize(
    ("parties", "message"),
    [
        ([party(0), party(1)], "needs a key holder who is none of the participants"),
        ([party(0), party(HOLDER, revoked=True)], "needs a key holder who is none of the"),
        (
            [party(0), party(HOLDER, node_key=f"{LINES[0]} other@machine")],
            "alpha and audit have one node key in the register",
        ),
        ([party(0), party(HOLDER, name="ALPHA")], "alpha and ALPHA are one name"),
        ([party(0, node_key="ssh-rsa nonsense"), party(HOLDER)], "node key of alpha .* is no publ"),
    ],
)
def test_registers_that_allow_no_run(parties: list[Party], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Parties.of(registry(*parties), "encrypted", 1)


def test_the_register_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    assert Parties.of_environment("plain", 0) is None
    registry().write(tmp_path / "registry.json")
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "registry.json"))
    read = Parties.of_environment("plain", 0)
    assert read is not None
    assert [p.name for p in read.wanted] == ["alpha", "beta", "gamma"]
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(ConfigurationError, match="cannot be read as a register"):
        Parties.of_environment("plain", 0)
