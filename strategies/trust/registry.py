"""The trust mode that the settings choose."""

from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation
from strategies.trust.encrypted import Encrypted
from strategies.trust.masked import Masked
from strategies.trust.mode import TrustMode
from strategies.trust.plain import Plain

__all__ = ["trust_mode"]


def trust_mode(settings: Aggregation) -> TrustMode:
    """Build the mode of `conf/aggregation`."""
    match settings:
        case PlainAggregation():
            return Plain(settings)
        case MaskedAggregation():
            return Masked(settings)
        case EncryptedAggregation():
            return Encrypted(settings)
