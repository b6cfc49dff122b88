"""What parties of a private sum must have alike."""

import json
from typing import Any

import pytest

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure import EncryptedAggregation, MaskedAggregation
from fedtrade.secure.agreement import (
    NAME_BYTES,
    RUN_BYTES,
    agreed_run,
    agreed_settings,
    check_agreed,
)


def test_the_same_settings_agree() -> None:
    """Read from text, with whole numbers for real ones, or with a path of one's own."""
    own = EncryptedAggregation(clip=4.0)
    for other in (
        EncryptedAggregation(),
        EncryptedAggregation.from_mapping({"clip": 4}),
        EncryptedAggregation(identities="/somewhere/keys.json"),
    ):
        check_agreed(own, agreed_settings(other))
        check_agreed(other, agreed_settings(own))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"clip": 2.0}, "aggregation.clip=4.0 here and 2.0 at the server."),
        ({"min_contributors": 2}, "aggregation.min_contributors=3 here and 2 at the server."),
        (
            {"scheme": "ckks", "weighted": True},
            "aggregation.scheme='bfv' here and 'ckks' at the server; aggregation.weighted=False "
            "here and True at the server.",
        ),
    ],
)
def test_differences_are_named(others: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_agreed(
            EncryptedAggregation(), agreed_settings(EncryptedAggregation.from_mapping(others))
        )
    assert said in str(caught.value)
    assert "Give all parties the same" in str(caught.value)


def test_settings_of_another_mode_or_version_differ() -> None:
    """Of which one side does not know some."""
    with pytest.raises(ConfigurationError, match=r"aggregation\.adversary=unknown here"):
        check_agreed(EncryptedAggregation(), agreed_settings(MaskedAggregation()))
    fewer = json.loads(agreed_settings(EncryptedAggregation()))
    del fewer["sum_bound"]
    with pytest.raises(ConfigurationError, match=r"sum_bound=1000000\.0 here and unknown at"):
        check_agreed(EncryptedAggregation(), json.dumps(fewer))
    with pytest.raises(ConfigurationError, match="sum_unit=unknown here and None at the server"):
        check_agreed(EncryptedAggregation(), json.dumps({**fewer, "sum_unit": None}))


@pytest.mark.parametrize("told", [None, 7, b"{}", "", "{", "[]", "null", "[" * 9000, "9" * 10**5])
def test_what_is_no_settings_is_refused(told: object) -> None:
    with pytest.raises(ProtocolError, match="does not say which settings its private sums have"):
        check_agreed(EncryptedAggregation(), told)


def test_a_server_cannot_say_much() -> None:
    """What stands in the error is part of a log."""
    told = json.dumps({**{f"x{k}": "y" * 90 for k in range(90)}})
    with pytest.raises(ConfigurationError) as caught:
        check_agreed(EncryptedAggregation(), told)
    assert len(str(caught.value)) < 700


def test_parties_with_the_same_settings_know_a_run_by_the_same_name() -> None:
    name, own = bytes(NAME_BYTES), EncryptedAggregation(clip=4.0)
    run = agreed_run(name, own, brought="")
    assert len(run) == RUN_BYTES
    for other in (
        EncryptedAggregation.from_mapping({"clip": 4}),
        EncryptedAggregation(identities="/somewhere/keys.json"),
    ):
        assert agreed_run(name, other, brought="") == run


def test_whatever_differs_makes_another_name() -> None:
    """Or members would answer to whom the server told other settings."""
    name, own = bytes(NAME_BYTES), EncryptedAggregation()
    noise = {"epsilon": 8.0, "rounds": 20}
    runs = [
        agreed_run(name, own, brought=""),
        agreed_run(bytes(15) + b"\1", own, brought=""),
        agreed_run(name, own.model_copy(update={"min_contributors": 4}), brought=""),
        agreed_run(name, own, brought="1f"),
        agreed_run(name, own, noise, brought="1f"),
        agreed_run(name, MaskedAggregation(), brought=""),
        agreed_run(name, own, noise, brought=""),
        agreed_run(name, own, {**noise, "epsilon": 1000.0}, brought=""),
        agreed_run(name, own, {**noise, "rounds": 1}, brought=""),
    ]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("name", [b"", bytes(15), bytes(17), bytes(32)])
def test_a_run_is_named_by_so_many_bytes(name: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"names a run by 16 bytes, got {len(name)}"):
        agreed_run(name, EncryptedAggregation(), brought="")
