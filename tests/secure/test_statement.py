"""A statement has the numbers of the protocol, and says what is not promised."""

from typing import Any

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.groups import GroupParameters, group_parameters
from fedtrade.secure.masked.degree import graph_parameters
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.statement import (
    KEY_HOLDER,
    PARTICIPANTS,
    SERVER,
    PrivacyStatement,
    encrypted_statement,
    masked_statement,
    plain_statement,
    with_scores,
)

COMPLETE = GraphParameters(10, degree=9, threshold=7, most_colluders=2, committee=10, quorum=7)
SPARSE = GraphParameters(100, degree=54, threshold=33, most_colluders=20, committee=0, quorum=0)
GROUP = GroupParameters(
    4, degree=3, threshold=2, most_colluders=0, committee=4, quorum=3, exposure=0.53
)


def learned(statement: PrivacyStatement, party: str) -> str:
    return "; ".join(what for who, what in statement.learns if who == party)


def values(statement: PrivacyStatement) -> dict[str, int | float | str]:
    return {name: value for name, value, _ in statement.parameters}


def masked(parameters: GraphParameters, n: int, **changes: Any) -> PrivacyStatement:
    return masked_statement(MaskedAggregation(**changes), n, parameters)


def test_plain_hides_nothing() -> None:
    found = plain_statement(PlainAggregation())
    assert "each participant's update" in learned(found, SERVER)
    assert "each participant's part" in learned(found, SERVER)
    assert found.parameters == ()


def test_groups_in_plain_hide_nothing_either() -> None:
    found = plain_statement(PlainAggregation(group_size=3))
    assert "each participant's update" in learned(found, SERVER)
    assert values(found) == {"group_size": 3}
    assert "hide nothing" in found.parameters[0].meaning


def test_masked_shows_the_server_one_sum() -> None:
    found = masked(COMPLETE, 10)
    assert "sum of the updates of all participants" in learned(found, SERVER)
    assert "each participant's update" not in learned(found, SERVER)
    assert values(found) == {
        "participants": 10,
        "adversary": "malicious",
        "neighbours": 9,
        "threshold": 7,
        "colluders": 2,
        "dropouts": 2,
        "min_contributors": 3,
        "committee": 10,
        "quorum": 7,
    }


def test_masked_says_who_must_collude() -> None:
    """Against a malicious server 2t - k = 5 and 2q - K = 4 are enough if both come together."""
    first = masked(COMPLETE, 10).broken_by[0]
    assert first.startswith("The server together with 5 of the 9 neighbours")
    assert "if 4 of the 10 members" in first
    assert "else it needs 7 of them" in first
    assert "nothing is left to chance" in " ".join(masked(COMPLETE, 10).assumptions)


def test_a_sum_of_few_survivors_is_told() -> None:
    """Seven neighbours and the member itself are left at worst: seven others subtract theirs."""
    assert any(
        "At worst these are 7, as sums of 8" in text for text in masked(COMPLETE, 10).broken_by
    )
    fewest = masked(COMPLETE, 10, min_contributors=9)
    assert any("At worst these are 8, as sums of 9" in text for text in fewest.broken_by)


def test_a_graph_that_is_drawn_leaves_something_to_chance() -> None:
    found = masked(SPARSE, 100, adversary="semi_honest")
    (bound,) = (text for text in found.assumptions if "2^-40" in text)
    assert bound.startswith("At most 20 of 100 participants")
    assert "draws" not in bound
    assert "quorum" not in values(found)
    assert values(found)["security_bits"] == 40
    assert any("semi_honest" in text for text in found.assumptions)
    assert found.broken_by[0].startswith("The server together with 33 of the 54 neighbours")
    assert not any("sign two different sets" in text for text in found.broken_by)


def test_a_malicious_server_that_tries_many_draws_is_reckoned_with() -> None:
    found = masked(SPARSE, 100)
    assert any("can try 2^64 draws" in text for text in found.assumptions)


def test_groups_say_what_they_expose() -> None:
    """20 members in 5 groups of 4: 19 / 4 rounded up are 5 rounds, 8 for what changes."""
    found = masked(GROUP, 20, group_size=4)
    assert "the updates of each random group of 4" in learned(found, SERVER)
    assert "the total of each federated sum of all participants" in learned(found, SERVER)
    assert values(found)["groups"] == 5
    assert values(found)["exposure"] == 0.53
    broken = " ".join(found.broken_by)
    assert "probability of 0.53 in each sum" in broken
    assert "after 5 rounds or a few more" in broken
    assert "after some 8 rounds" in broken
    assert "All others in a group" in broken


def test_keys_at_first_contact_are_a_weakness_that_a_file_heals() -> None:
    told = "aggregation.identities=null"
    assert told in " ".join(masked(COMPLETE, 10).broken_by)
    assert told not in " ".join(masked(COMPLETE, 10, identities="keys.json").broken_by)
    assert "pose as the key holder" in " ".join(
        encrypted_statement(EncryptedAggregation(), 10).broken_by
    )


@pytest.mark.parametrize(
    ("scheme", "bits", "problem"),
    [
        ("bfv", {"security_bfv"}, "Ring learning with errors"),
        ("ckks", {"security_ckks", "security_bfv", "flooding_bits"}, "Ring learning with errors"),
        ("paillier", {"security_paillier"}, "composite residuosity"),
    ],
)
def test_encrypted_names_its_schemes(scheme: Any, bits: set[str], problem: str) -> None:
    found = encrypted_statement(EncryptedAggregation(scheme=scheme), 10)
    assert set(values(found)) == {"participants", "min_contributors"} | bits
    assert any(text.startswith(problem) or problem in text for text in found.assumptions)


@pytest.mark.parametrize("scheme", ["bfv", "ckks", "paillier"])
def test_the_key_holder_sees_sums_and_a_server_that_lies_no_more(scheme: Any) -> None:
    found = encrypted_statement(EncryptedAggregation(scheme=scheme, min_contributors=4), 10)
    assert "sum of the updates" in learned(found, KEY_HOLDER)
    assert "bars" not in learned(found, KEY_HOLDER)
    assert found.broken_by[0].startswith("The server and the key holder together")
    assert not any("ciphertext" in text for text in found.broken_by)
    assert found.assumptions[0].startswith("The server may do anything but work together with")
    assert "of 4 participants at least" in found.assumptions[0]
    assert "X25519" in found.assumptions[-1]


def test_a_scheme_that_holds_no_sums_has_no_statement() -> None:
    with pytest.raises(ConfigurationError, match="members"):
        encrypted_statement(EncryptedAggregation(sum_resolution=1e-15), 10)


def test_scores_by_participant_are_a_leak_of_every_mode() -> None:
    found = with_scores(masked(COMPLETE, 10), summed=False, shows_path=True)
    assert "each participant's scores" in learned(found, SERVER)
    assert "one asset of each participant" in learned(found, SERVER)
    assert found.broken_by[-1].startswith("Scores by day")
    hidden = with_scores(masked(COMPLETE, 10), summed=False, shows_path=False)
    assert "one asset" not in learned(hidden, SERVER)


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        (plain_statement(PlainAggregation()), "each participant's part of the sums of scores"),
        (masked(COMPLETE, 10), "sums of all participants' scores"),
        (masked(GROUP, 20, group_size=4), "sums of all participants' scores"),
        (encrypted_statement(EncryptedAggregation(), 10), "sums of all participants' scores"),
    ],
)
def test_summed_scores_are_seen_as_other_sums_are(statement: PrivacyStatement, shown: str) -> None:
    found = with_scores(statement, summed=True, shows_path=True)
    assert shown in learned(found, SERVER)
    assert "one asset" not in learned(found, SERVER)
    assert found.broken_by == statement.broken_by


@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
@pytest.mark.parametrize("n", [5, 10, 20, 50, 1_000])
def test_every_computed_graph_can_be_stated(adversary: Any, n: int) -> None:
    settings = MaskedAggregation(adversary=adversary)
    found = graph_parameters(
        n,
        colluding_share=settings.colluding_share,
        dropout_share=settings.dropout_share,
        security_bits=settings.security_bits,
        correctness_bits=settings.correctness_bits,
        adversary=settings.adversary,
        grinding_bits=settings.grinding_bits,
    )
    statement = masked_statement(settings, n, found)
    assert f" of the {found.degree} neighbours" in statement.broken_by[0]
    assert str(found.threshold) in statement.broken_by[0]
    assert all(text.endswith(".") for text in (*statement.broken_by, *statement.assumptions))
    assert {who for who, _ in statement.learns} == {SERVER, PARTICIPANTS}


def test_one_group_of_all_is_not_drawn_anew() -> None:
    settings = MaskedAggregation(group_size=5)
    found = group_parameters(6, 5, colluding_share=0.2, dropout_share=0.1, adversary="malicious")
    assert not any("drawn anew" in text for text in masked_statement(settings, 6, found).broken_by)
