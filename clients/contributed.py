"""What a participant has contributed to: each round, sum and evaluation once, rounds in order.

Without it a server could have the same round added up twice, once without somebody, and take the
difference. It makes that no secret, and not impossible: a server that lies can call the same model
the next round's.
"""

from typing import Any

from flwr.app import ConfigRecord, Context, Message, MessageType

from fedtrade.errors import ReplayError
from fedtrade.secure.subject import asked_subject
from fedtrade.wire import CONFIG, ROUND_NUMBER, SUM, SUM_NAME

__all__ = ["EPISODE", "asked_of", "kind_of", "note_contribution"]

STATE = "secure.contributed"
EPISODE = "episode"
"""The entry of a message with the number of its episode."""

DONE = "done"
DEFAULT_ACTION = ".default"


def kind_of(message: Message) -> str:
    """The type of a message by its one name: Flower takes `train.default` for `train`."""
    return str(message.metadata.message_type).removesuffix(DEFAULT_ACTION)


def asked_of(message: Message) -> bytes:
    """What a message asks, as a hash; the same for all that are asked the same."""
    return asked_subject(kind_of(message), message.content)


def note_contribution(message: Message, context: Context) -> None:
    """Remember what a message asks to contribute to.

    Raises
    ------
    ReplayError
        If the participant has contributed to it, or to a later round or episode.
    """
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    episode, kind = config.get(EPISODE, 0), kind_of(message)
    is_round = kind == MessageType.TRAIN
    # By nothing else that stands in the message, or one thing could be had under many names.
    number = config.get(ROUND_NUMBER, 0) if is_round else 0
    name = config.get(SUM_NAME, "") if kind == SUM else ""
    what = f"{kind} {name!s} {number!s}"
    kept: Any = context.state.get(STATE, ConfigRecord({EPISODE: 0, DONE: []}))
    if type(episode) is not int or episode < kept[EPISODE]:
        raise ReplayError(
            f"a contribution to episode {episode!r} is asked for, and this participant has come "
            f"to episode {kept[EPISODE]}."
        )
    done = list(kept[DONE]) if episode == kept[EPISODE] else []
    last = kept.get(ROUND_NUMBER, 0) if episode == kept[EPISODE] else 0
    if is_round and (type(number) is not int or number < last):
        raise ReplayError(
            f"a contribution to round {number!r} is asked for, and this participant has come to "
            f"round {last} of episode {episode}."
        )
    if what in done:
        raise ReplayError(
            f"a second contribution is asked for to {' '.join(what.split())} of episode {episode}: "
            "the difference of two such sums could be somebody's own part."
        )
    last = number if is_round and type(number) is int else last
    context.state[STATE] = ConfigRecord({EPISODE: episode, DONE: [*done, what], ROUND_NUMBER: last})
