"""The trust mode that the settings choose."""

from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation
from strategies.trust.encrypted import Encrypted
from strategies.trust.masked import Masked
from strategies.trust.mode import TrustMode
from strategies.trust.plain import Plain

__all__ = ["trust_mode"]


def trust_mode(settings: Aggregation, n_known: int = 0) -> TrustMode:
    """Build the mode of `conf/aggregation`.

    Parameters
    ----------
    n_known : int
        Participants of the run, present or not, as all of them know; 0 if they do not.
    """
    match settings:
        case PlainAggregation():
            return Plain(settings)
        case MaskedAggregation():
            return Masked(settings, n_known)
        case EncryptedAggregation():
            return Encrypted(settings)
