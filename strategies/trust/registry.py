"""The trust mode that the settings choose."""

from fedtrade.errors import ConfigurationError
from fedtrade.secure import MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation
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
        case _:
            raise ConfigurationError(f"aggregation.mode={settings.mode} cannot be run yet.")
