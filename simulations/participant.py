"""One participant's turn: a message and a context in, a reply and the next context out.

Whatever a participant does wrong becomes an error reply of its own: an exception, `sys.exit`, no
message, a message that answers somebody else. Only Ctrl-C passes through.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

from flwr.app import Context, Error, Message, Metadata
from flwr.app.message.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.constant import MESSAGE_TTL_TOLERANCE, ErrorCode

from simulations.records import copy_context, copy_message

__all__ = ["Answer", "Turn", "answer", "error_reply", "expired", "reason_of"]

Answer: TypeAlias = tuple[Message, Context | None]
"""The reply, and the context for the next turn (None: the one given serves again)."""

Turn: TypeAlias = Callable[[Message, Context], Answer]
"""What a worker does with a message."""

# Which field of a reply's metadata repeats which field of the message it answers.
_LINKS = {
    "_reply_to_message_id": "_message_id",
    "_src_node_id": "_dst_node_id",
    "_dst_node_id": "_src_node_id",
    "_run_id": "_run_id",
}


def reason_of(error: BaseException) -> str:
    """The type and text of an exception, as Flower's SuperNode writes them."""
    return f"{type(error)}:<'{error}'>"


def error_reply(asked: Metadata, code: int, reason: str) -> Message:
    """The reply that tells the server why the message with metadata `asked` failed."""
    instruction = make_message(metadata=asked, error=Error(code=code))
    reply = Message(Error(code=code, reason=reason), reply_to=instruction)
    reply.metadata.ttl = max(reply.metadata.ttl, 0.0)
    return reply


def expired(asked: Metadata) -> bool:
    """Whether the time to live of the message with metadata `asked` is over."""
    return asked.created_at + asked.ttl <= time.time()


def answer(client_app: ClientApp, message: Message, context: Context) -> Answer:
    """Let the ClientApp work on copies of a message and a context.

    Returns
    -------
    reply : Message
        Shares nothing mutable with the app; it carries an error if the app failed.
    context : Context or None
        What the app left in its context; None if that is nothing new. What a turn left that ended
        in an exception is kept as a SuperNode keeps it (Flower 1.41; its simulation runtime forgets
        it).
    """
    asked = message.metadata
    if expired(asked):
        return _unavailable(asked), None
    given = copy_context(context)
    try:
        reply = client_app(message=copy_message(message), context=given)
        answered = copy_message(_checked(reply, asked)), _changed(context, given)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() included: one participant must not end the run
        failed = error_reply(asked, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason_of(error))
        return failed, _left(context, given) if isinstance(error, Exception) else None
    return answered if not expired(asked) else (_unavailable(asked), answered[1])


def _left(before: Context, after: Context) -> Context | None:
    """What a failed turn left, unless that cannot be kept."""
    try:
        return _changed(before, after)
    except Exception:  # the turn has failed already, and may have left anything
        return None


def _changed(before: Context, after: Context) -> Context | None:
    """The context to keep after a turn, of which only state and node_config may have changed."""
    if after.run_config != before.run_config:
        raise ValueError("a ClientApp cannot change the `run_config` of its Context")
    if not (after.state or before.state) and after.node_config == before.node_config:
        return None
    kept = copy_context(after)
    kept.run_id, kept.node_id = before.run_id, before.node_id
    return kept


def _unavailable(asked: Metadata) -> Message:
    reason = f"the message expired: its time to live was {asked.ttl:g} s"
    return error_reply(asked, ErrorCode.MESSAGE_UNAVAILABLE, reason)


def _checked(reply: object, asked: Metadata) -> Message:
    """Refuse whatever Flower's SuperLink would not deliver as the reply to `asked`."""
    if not isinstance(reply, Message):
        raise TypeError(f"the ClientApp returned {type(reply)} instead of a Message")
    if reply.has_content() == reply.has_error():
        raise ValueError("a reply carries either content or an error")
    given = reply.metadata
    for name in _LINKS:
        got, expected = given.__dict__[name], asked.__dict__[_LINKS[name]]
        if got != expected:
            raise ValueError(
                f"the reply's {name[1:]} is {got!r}, expected {expected!r}; "
                "build replies with Message(content, reply_to=message)"
            )
    allowed = asked.created_at + asked.ttl - given.created_at
    if given.ttl - allowed > MESSAGE_TTL_TOLERANCE:
        raise ValueError(f"the reply's ttl is {given.ttl:g} s, at most {allowed:g} s remain")
    return reply
