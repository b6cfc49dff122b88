"""The party that a participant's settings choose.

Those of private modes are imported where they are chosen: with Flower's own executor every message
imports everything anew, and their cryptography is a tenth of it.
"""

from typing import TYPE_CHECKING

from flwr.app import Context

from clients.participant import Participant
from clients.party import Party, PlainParty
from conf import resolve
from fedtrade.errors import ConfigurationError
from fedtrade.holdings import build_task
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.privacy.participant.run import noisy_vectors
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.settings import Settings

if TYPE_CHECKING:
    from clients.key_holder_party import KeyHolderParty

__all__ = ["key_holder_of", "party_of"]


def party_of(participant: Participant, context: Context) -> Party:
    """Speak for a participant as its own settings want it, whatever the server asks for."""
    match participant.aggregation:
        case PlainAggregation():
            return PlainParty(participant.noise)
        case MaskedAggregation() as settings:
            from clients.masked_party import MaskedParty

            return MaskedParty(
                participant.number, settings, context, participant.n_known, participant.noise
            )
        case EncryptedAggregation() as settings:
            from clients.encrypted_party import EncryptedParty

            return EncryptedParty(participant.number, settings, context, participant.noise)


def key_holder_of(context: Context) -> "KeyHolderParty":
    """Speak for a key holder.

    Raises
    ------
    ConfigurationError
        If the settings know none.
    """
    from clients.key_holder_party import KeyHolderParty

    whole = resolve(str(context.run_config.get("settings", "")))
    settings = whole.aggregation
    if not isinstance(settings, EncryptedAggregation):
        raise ConfigurationError(
            f"the node is a key holder, and aggregation={settings.mode} has none."
        )
    return KeyHolderParty(settings, context, _noise(whole))


def _noise(settings: Settings) -> NoisyVectors | None:
    """What a key holder adds to sums by its own settings; only for that it knows the task."""
    if settings.privacy.participant is None:
        return None
    return noisy_vectors(settings, build_task(settings))
