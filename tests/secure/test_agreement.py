"""What parties of a private sum must have alike."""

import json
from typing import Any

import pytest

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure import EncryptedAggregation, MaskedAggregation
from fedtrade.secure.agreement import agreed_settings, check_agreed


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
