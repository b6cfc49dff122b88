"""Sums of the participants' vectors of which no one sees the parts.

Bytes and arrays, without messages: `strategies.trust` and `clients` send them about.
"""

from fedtrade.secure.settings import (
    EncryptedAggregation,
    MaskedAggregation,
    PlainAggregation,
    PrivateAggregation,
)

__all__ = [
    "EncryptedAggregation",
    "MaskedAggregation",
    "PlainAggregation",
    "PrivateAggregation",
]
