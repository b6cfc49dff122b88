"""A Flower mod by which a party's own settings beat those that a run brings.

It stands before everything that a message could set off. Where a node has no settings of its own,
as in a simulation, it does nothing.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from flwr.app import ConfigRecord, Context, Message, MessageType

from clients.brought import BROUGHT, RECORD, SETTINGS
from clients.contributed import kind_of
from clients.roles import is_key_holder
from conf import resolve
from fedtrade.errors import ConfigurationError, LimitError
from fedtrade.nodes.limits import check_round, effective
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, local_settings
from fedtrade.nodes.settings import ClientSettings
from fedtrade.settings import Settings
from fedtrade.wire import CONFIG, DESCRIBE, ROUND_NUMBER, VERSION, check_version

__all__ = ["local_settings_of", "obey"]

ANSWERS: Final = "answers"

Call = Callable[[Message, Context], Message]


class _TooLong(BaseException):
    """Not an Exception, so that nothing which answers errors takes it for one of its own."""


def obey(message: Message, context: Context, call_next: Call) -> Message:
    """Answer within the limits of this machine, by its own settings.

    Raises
    ------
    LimitError
        If the run asks for more; it becomes an error reply, and costs the server this participant.
    """
    local = local_settings_of(context)
    if local is None:
        return call_next(message, context)
    asked = str(context.run_config.get(SETTINGS, ""))
    _check_version(message)
    _check_role(context, local)
    brought = resolve(asked)
    settings = effective(brought, local)
    _check_message(message, settings)
    _count(context, local, brought.digest())
    context.run_config[SETTINGS] = settings.to_json()
    try:
        with _within(local.allow.most_seconds):
            return call_next(message, context)
    finally:
        context.run_config[SETTINGS] = asked


def local_settings_of(context: Context) -> ClientSettings | None:
    """The settings of the machine, if it has its own.

    Raises
    ------
    ConfigurationError
        If they cannot be read.
    """
    path = context.node_config.get(LOCAL_SETTINGS)
    return None if path is None else local_settings(str(path))


def _check_version(message: Message) -> None:
    """Before the settings are read, which another version may not understand."""
    if kind_of(message) == DESCRIBE:
        config = message.content.config_records.get(CONFIG, ConfigRecord())
        check_version(config.get(VERSION), "the server")


def _check_role(context: Context, local: ClientSettings) -> None:
    """The limits of one role are not those of another."""
    if is_key_holder(context) != (local.role == "key_holder"):
        raise ConfigurationError(
            f"the node's own settings have role={local.role}, and it was started as another; start "
            "it with `fedtrade client`."
        )


def _check_message(message: Message, settings: Settings) -> None:
    if kind_of(message) == MessageType.TRAIN:
        config = message.content.config_records.get(CONFIG, ConfigRecord())
        check_round(config.get(ROUND_NUMBER), settings.federation.rounds)


def _count(context: Context, local: ClientSettings, digest: str) -> None:
    """Count the messages of the run, whose settings must stay what they were at first."""
    kept = context.state.get(RECORD)
    record = kept if isinstance(kept, ConfigRecord) else ConfigRecord()
    if record.get(BROUGHT, digest) != digest:
        raise LimitError(
            "the run's settings are others than at its first message, and this participant "
            "answers by those."
        )
    n_answers, most = record.get(ANSWERS, 0), local.allow.most_answers
    assert isinstance(n_answers, int)
    if most is not None and n_answers >= most:
        raise LimitError(
            f"this participant has answered {n_answers} messages of the run, as many as it allows "
            "(allow.most_answers)."
        )
    context.state[RECORD] = ConfigRecord({BROUGHT: digest, ANSWERS: n_answers + 1})


@contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    """Break off what takes longer; where no signal can (outside of the main thread), nothing."""
    is_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    def break_off(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)  # it may ring while it is switched off
    except _TooLong:
        raise LimitError(
            f"the work on one message takes longer than {seconds:g} s, which is all that this "
            "participant allows (allow.most_seconds)."
        ) from None
    finally:
        signal.signal(signal.SIGALRM, before)
