"""The party that a participant's settings choose."""

from flwr.app import Context

from clients.encrypted_party import EncryptedParty
from clients.key_holder_party import KeyHolderParty
from clients.masked_party import MaskedParty
from clients.participant import Participant
from clients.party import Party, PlainParty
from conf import resolve
from fedtrade.errors import ConfigurationError
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation

__all__ = ["key_holder_of", "party_of"]


def party_of(participant: Participant, context: Context) -> Party:
    """Speak for a participant as its own settings want it, whatever the server asks for."""
    match participant.aggregation:
        case PlainAggregation():
            return PlainParty()
        case MaskedAggregation() as settings:
            return MaskedParty(participant.number, settings, context, participant.n_known)
        case EncryptedAggregation() as settings:
            return EncryptedParty(participant.number, settings, context)


def key_holder_of(context: Context) -> KeyHolderParty:
    """Speak for a key holder.

    Raises
    ------
    ConfigurationError
        If the settings know none.
    """
    settings = resolve(str(context.run_config.get("settings", ""))).aggregation
    if not isinstance(settings, EncryptedAggregation):
        raise ConfigurationError(
            f"the node is a key holder, and aggregation={settings.mode} has none."
        )
    return KeyHolderParty(settings, context)
