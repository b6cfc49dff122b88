"""What a participant has contributed to: each round, sum and evaluation once, rounds in order.

Without it a server could have the same round added up twice, once without somebody, and take the
difference. It makes that no secret, and not impossible: a server that lies can call the same model
the next round's.
"""

from typing import Any

from flwr.app import ConfigRecord, Context, Message, MessageType

from fedtrade.errors import ReplayError
from fedtrade.wire import CONFIG, SUM_NAME

__all__ = ["note_contribution"]

STATE = "secure.contributed"
EPISODE, DONE, ROUND_NUMBER = "episode", "done", "server-round"


def note_contribution(message: Message, context: Context) -> None:
    """Remember what a message asks to contribute to.

    Raises
    ------
    ReplayError
        If the participant has contributed to it, or to a later round or episode.
    """
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    episode = config.get(EPISODE, 0)
    is_round = message.metadata.message_type == MessageType.TRAIN
    number = config.get(ROUND_NUMBER, 0) if is_round else 0  # sums have no number to tell them by
    what = f"{message.metadata.message_type} {config.get(SUM_NAME, '')!s} {number!s}"
    kept: Any = context.state.get(STATE, ConfigRecord({EPISODE: 0, DONE: []}))
    if not isinstance(episode, int) or episode < kept[EPISODE]:
        raise ReplayError(
            f"a contribution to episode {episode!r} is asked for, and this participant has come "
            f"to episode {kept[EPISODE]}."
        )
    done = list(kept[DONE]) if episode == kept[EPISODE] else []
    last = kept.get(ROUND_NUMBER, 0) if episode == kept[EPISODE] else 0
    if is_round and (not isinstance(number, int) or number < last):
        raise ReplayError(
            f"a contribution to round {number!r} is asked for, and this participant has come to "
            f"round {last} of episode {episode}."
        )
    if what in done:
        raise ReplayError(
            f"a second contribution is asked for to {' '.join(what.split())} of episode {episode}: "
            "the difference of two such sums could be somebody's own part."
        )
    last = number if is_round and isinstance(number, int) else last
    context.state[STATE] = ConfigRecord({EPISODE: episode, DONE: [*done, what], ROUND_NUMBER: last})
