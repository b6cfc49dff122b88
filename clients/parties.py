"""The party that a participant's settings choose."""

from flwr.app import Context

from clients.masked_party import MaskedParty
from clients.participant import Participant
from clients.party import Party, PlainParty
from fedtrade.errors import ConfigurationError
from fedtrade.secure import MaskedAggregation, PlainAggregation

__all__ = ["party_of"]


def party_of(participant: Participant, context: Context) -> Party:
    """Speak for a participant as its own settings want it, whatever the server asks for."""
    match participant.aggregation:
        case PlainAggregation():
            return PlainParty()
        case MaskedAggregation() as settings:
            return MaskedParty(participant.number, settings, context)
        case settings:
            raise ConfigurationError(f"aggregation.mode={settings.mode} cannot be run yet.")
