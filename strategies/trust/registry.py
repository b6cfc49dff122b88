"""The trust mode that the settings choose."""

from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation
from strategies.trust.encrypted import Encrypted
from strategies.trust.masked import Masked
from strategies.trust.mode import TrustMode
from strategies.trust.noisy_plain import NoisyPlain
from strategies.trust.plain import Plain

__all__ = ["trust_mode"]


def trust_mode(
    settings: Aggregation,
    n_known: int = 0,
    noise: NoisyVectors | None = None,
    *,
    brought: str,
) -> TrustMode:
    """Build the mode of `conf/aggregation`.

    Parameters
    ----------
    n_known : int
        Participants of the run, present or not, as all of them know; 0 if they do not.
    noise : NoisyVectors or None
        What protects participants in what is added up.
    brought : str
        Digest of all settings of the run, which the parties of private sums must have been brought
        alike.
    """
    match settings:
        case PlainAggregation():
            return Plain(settings) if noise is None else NoisyPlain(settings, noise)
        case MaskedAggregation():
            return Masked(settings, n_known, noise, brought=brought)
        case EncryptedAggregation():
            return Encrypted(settings, noise, brought=brought)
