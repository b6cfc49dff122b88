"""Shares of members, counted alike on every machine."""

import math
from decimal import Decimal
from fractions import Fraction

from fedtrade.errors import ConfigurationError

__all__ = ["at_least", "at_most", "check_proportion", "exactly"]


def exactly(share: float) -> Fraction:
    """The decimal that a share is written as: 0.07 is 7/100, so that 0.07 * 100 is 7."""
    return Fraction(Decimal(repr(float(share))))


def at_most(share: float, size: int) -> int:
    """floor(share * size)."""
    return math.floor(exactly(share) * size)


def at_least(share: float, size: int) -> int:
    """ceil(share * size)."""
    return math.ceil(exactly(share) * size)


def check_proportion(name: str, share: float) -> None:
    """Refuse a share of members that is not in [0, 1).

    Raises
    ------
    ConfigurationError
    """
    if not 0.0 <= share < 1.0:
        raise ConfigurationError(f"{name} must be in [0, 1), got {share}.")
