"""How often a participant has contributed to what leaves with noise.

The noise of a run is as much as so many releases need. A server that asks for one more is refused,
whatever it calls it.
"""

from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, MessageType

from clients.contributed import kind_of
from clients.participant import Participant
from fedtrade.errors import PrivacyError
from fedtrade.wire import SUM

__all__ = ["note_release"]

STATE: Final = "privacy.released"
ROUNDS: Final = "rounds of training"
SUMS: Final = "federated sums"


def note_release(message: Message, context: Context) -> None:
    """Count what a message asks for, if noise is on it, before it is answered.

    Raises
    ------
    PrivacyError
        If it would be more than the noise was reckoned for.
    ConfigurationError
        If the settings leave open how much that is.
    """
    participant = Participant.of(context)
    noise = participant.noise
    match kind_of(message):
        case MessageType.TRAIN if noise is not None or participant.privacy.record is not None:
            what, most = ROUNDS, participant.most_rounds
        case kind if kind == SUM and noise is not None and noise.covers_sums:
            what, most = SUMS, noise.plan.most_sums
        case _:
            return
    kept: Any = context.state.get(STATE, ConfigRecord({ROUNDS: 0, SUMS: 0}))
    n_released = int(kept[what]) + 1
    if n_released > most:
        raise PrivacyError(
            f"this participant has contributed to {most} {what}, which is all that its settings "
            "reckon with (privacy): it gives no more to this run."
        )
    context.state[STATE] = ConfigRecord({**kept, what: n_released})
