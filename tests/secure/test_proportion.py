"""Shares of members are those of the decimals they are written as."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError
from fedtrade.secure.proportion import at_least, at_most, check_proportion, exactly


def test_binary_fractions_do_not_tip_the_count() -> None:
    """In floats 0.07 * 100 is above 7 and 0.29 * 100 below 29."""
    assert at_least(0.07, 100) == 7
    assert at_most(0.29, 100) == 29


@given(st.integers(0, 9999), st.integers(0, 10**6))
def test_integers_agree(parts: int, size: int) -> None:
    share = parts / 10_000
    assert exactly(share) == Fraction(parts, 10_000)
    assert at_most(share, size) == parts * size // 10_000
    assert at_least(share, size) == -(-parts * size // 10_000)


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match=r"liar_share must be in \[0, 1\), got"):
        check_proportion("liar_share", share)
