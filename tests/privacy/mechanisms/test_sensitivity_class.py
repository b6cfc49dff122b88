import pytest

from fedtrade.errors import ConfigurationError, PrivacyError
from fedtrade.privacy.mechanisms import EpsilonShares, SensitivityClass


def test_more_delicate_data_get_more_noise() -> None:
    shares = EpsilonShares()
    assert [shares.epsilon(name, 2.0) for name in ("internal", "confidential", "restricted")] == [
        2.0,
        1.0,
        0.5,
    ]


def test_a_table_of_ones_own_is_read_from_settings() -> None:
    shares = EpsilonShares.from_mapping({"confidential": 0.2, "restricted": 0.1})
    assert shares.epsilon(SensitivityClass.CONFIDENTIAL, 1.0) == 0.2


def test_public_data_have_no_share() -> None:
    with pytest.raises(PrivacyError, match="need no noise"):
        EpsilonShares().epsilon("public", 1.0)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(PrivacyError, match="'secret' is none of internal"):
        EpsilonShares().epsilon("secret", 1.0)


def test_a_share_must_not_rise_with_delicacy() -> None:
    with pytest.raises(ConfigurationError, match="must not rise"):
        EpsilonShares.from_mapping({"confidential": 0.1, "restricted": 0.2})


@pytest.mark.parametrize("share", [0.0, 1.1, -1.0])
def test_a_share_lies_in_0_to_1(share: float) -> None:
    with pytest.raises(ConfigurationError, match="restricted"):
        EpsilonShares.from_mapping({"restricted": share})
