"""A Flower mod by which an error that leaves a party's machine tells nothing that is not the run's.

The outermost: what goes wrong in the other mods, with the machine's own settings and files, passes
through it too. The node's own log has each error as it was. Where a node has no settings of its
own, as in a simulation, errors leave as they are.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from flwr.app import ConfigRecord, Context, Message

from fedtrade.errors import DataError, FedtradeError, NodeError, RangeError
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, local_settings
from fedtrade.nodes.settings import ClientSettings
from fedtrade.secure.wire import REFUSED, ROUND

__all__ = ["KeptOutError", "UntoldError", "discreet", "is_about_the_run", "keeps_out"]

Call = Callable[[Message, Context], Message]

_logger = logging.getLogger(__name__)

OWN_AFFAIRS: Final = (DataError, RangeError)
"""Their sentences may have prices, or values that were computed of them."""


def discreet(message: Message, context: Context, call_next: Call) -> Message:
    """Answer; of an error, tell the server the sentence only if it is about what the run asks.

    Raises
    ------
    FedtradeError
        As it was, with the names of local files in place of their paths.
    NodeError
        In place of all others; it has the class of the error alone.
    """
    if context.node_config.get(LOCAL_SETTINGS) is None:
        return call_next(message, context)
    try:
        return call_next(message, context)
    except Exception as error:
        if not is_about_the_run(error):
            raise NodeError(
                f"this participant could not answer ({type(error).__name__}); its own log says why."
            ) from error
        told = _without_paths(str(error), context)
        if told == str(error):
            raise
        raise type(error)(told) from error


class UntoldError(FedtradeError):
    """What the server is told of an error that may tell of data; the participant's log has it.

    Parameters
    ----------
    error : Exception
        Which becomes a line of the log.
    """

    def __init__(self, error: Exception) -> None:
        _logger.error("a part of a sum could not be given: %s", error, exc_info=error)
        super().__init__(
            "this participant could not compute its part, or it is too large to be added; its own "
            "log says why."
        )


class KeptOutError(FedtradeError):
    """A participant with too few bars keeps out of a sum; its log has what is missing.

    Parameters
    ----------
    reason : str
        Which becomes a line of the log.
    """

    SENTENCE: Final = (
        "this participant has too short a history there, and would hide nobody in the sum: choose "
        "later origins (evaluation), or start without it."
    )

    def __init__(self, reason: str) -> None:
        _logger.warning("kept out of a sum: %s", reason)
        super().__init__(self.SENTENCE)


def keeps_out(reply: Message) -> bool:
    """Whether a reply gives nothing, for want of history: it tells of bars, and of no price."""
    told = reply.content.config_records.get(ROUND, ConfigRecord()) if reply.has_content() else {}
    return told.get(REFUSED) == KeptOutError.SENTENCE


def is_about_the_run(error: BaseException) -> bool:
    """Whether an error is of our own making, from what the server knows anyway."""
    if not isinstance(error, FedtradeError) or isinstance(error, OWN_AFFAIRS):
        return False
    cause = error.__cause__
    return cause is None or isinstance(cause, OSError) or is_about_the_run(cause)


def _without_paths(sentence: str, context: Context) -> str:
    for path in sorted(_paths(context), key=len, reverse=True):
        sentence = sentence.replace(path, Path(path).name)
    return sentence


def _paths(context: Context) -> Iterator[str]:
    """Where things lie on this machine, as far as its settings say."""
    own = str(context.node_config[LOCAL_SETTINGS])
    texts = [own, *(value for value in context.node_config.values() if isinstance(value, str))]
    texts.append(str(Path(own).parent))
    with suppress(FedtradeError):  # if they cannot be read, that is what the error says
        texts += _texts_of(local_settings(own))
    yield from {text for text in texts if Path(text).is_absolute() and len(text) > 1}


def _texts_of(settings: ClientSettings) -> Iterator[str]:
    values = settings.to_mapping()
    data = values.pop("data") or {}
    yield from (value for value in (*values.values(), *data.values()) if isinstance(value, str))
