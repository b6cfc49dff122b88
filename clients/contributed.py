"""What a participant has contributed to: each round, sum and evaluation once a run.

Without it a server could have the same round added up twice, once without somebody, and take the
difference.
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
        If the participant has contributed to it, or to a later episode.
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
    if what in done:
        raise ReplayError(
            f"a second contribution is asked for to {' '.join(what.split())} of episode {episode}: "
            "the difference of two such sums could be somebody's own part."
        )
    context.state[STATE] = ConfigRecord({EPISODE: episode, DONE: [*done, what]})
