"""A grid that asks for replies soon, waits for nobody twice, and knows who did not answer.

Flower's own grid of real nodes sleeps 3 s between two looks for replies. Where a node is lost, or a
message too old, the SuperLink answers in its place, and such an error says which message it is
about but not which node. And a node that was lost a moment ago looks as if it were there.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from logging import WARNING
from typing import Final, NamedTuple

from flwr.app import Error, Message, MessageType
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore import log
from flwr.supercore.run import RunNotRunningException

from fedtrade.errors import NodeError
from fedtrade.nodes.pull_sooner import pull_sooner
from strategies.background import in_background
from strategies.metered_grid import payload_bytes
from strategies.passing_grid import PassingGrid
from strategies.replies import is_refused

__all__ = ["PromptGrid"]

BATCH: Final = 16
"""Replies that are asked for at once: few of them are in memory at a time."""
PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25
PUSHED_AT_ONCE: Final = 1000
PUSHED_BYTES: Final = 16 * 2**20
GIVE_UP_S: Final = 30.0
"""A SuperLink that cannot be reached for so long is dead; Flower would try for ever."""
LAST_LOOK_S: Final = 1.0
NOT_SENT: Final = 1000
"""An error code of our own, beyond Flower's."""
TOO_LATE: Final = (ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE)

GOES_ON = "with resume=true the run goes on behind its last finished round"


class _Asked(NamedTuple):
    """A message that was sent."""

    node: int
    message_type: str
    group_id: str
    ttl_s: float
    until: float


@dataclass
class _Exchange:
    """Messages that are waited for, by id, and when that is over."""

    waiting: dict[str, int]
    training: frozenset[str]
    n_enough: int | None
    deadline: float | None
    n_heard: int = 0
    n_trained: int = 0

    def heard(self, message_id: str, *, is_given: bool) -> None:
        """Note a reply that is no error, and whether it gives what was asked for."""
        self.n_heard += 1
        self.n_trained += is_given and message_id in self.training

    def is_over(self, late: set[int]) -> bool:
        """Whether enough have answered, or all who are not late already, or time is up."""
        if not self.waiting or (self.deadline is not None and time.monotonic() > self.deadline):
            return True
        if self.n_enough is not None and self.n_trained >= self.n_enough:
            return True
        return self.n_heard > 0 and late.issuperset(self.waiting.values())


class PromptGrid(PassingGrid):
    """Wraps a grid; every exchange ends when all have answered, or at its timeout.

    A node that does not answer in time is *late*: it is asked further on, but nobody waits for it
    when the others have answered, until a reply of it comes. So a node that is lost costs one
    timeout. (Where nobody else answers, it is waited for all the same.)

    An error that the SuperLink sends in a node's place comes from the node, here. A message that
    cannot be sent is answered with an error, as if its node had.

    Parameters
    ----------
    grid : Grid
    n_quorum : callable or None
        Of how many training messages so many replies end an exchange; None waits for all.
    """

    def __init__(self, grid: Grid, n_quorum: Callable[[int], int] | None = None) -> None:
        super().__init__(grid)
        self._n_quorum = n_quorum
        self._asked: dict[str, _Asked] = {}
        self._unsent: dict[str, Message] = {}
        self._n_unsent = 0
        self._late: set[int] = set()
        self._overdue: set[str] = set()
        pull_sooner()
        self._stuck: list[Future[list[Message]]] = []
        invoker = getattr(grid, "_retry_invoker", None)  # of Flower's grid of real nodes
        self._may_block = invoker is not None
        if invoker is not None:
            invoker.max_time = GIVE_UP_S

    @property
    def late(self) -> frozenset[int]:
        """Nodes that are not waited for."""
        return frozenset(self._late)

    def forgive(self) -> None:
        """Wait again for nodes that were late."""
        self._late.clear()

    def get_node_ids(self) -> Iterable[int]:
        """See the wrapped grid."""
        with _one_sentence():
            return list(self._grid.get_node_ids())

    def get_nodes(self) -> Iterable[NodeInfo]:
        """See the wrapped grid."""
        with _one_sentence():
            return list(self._grid.get_nodes())

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages, not too many bytes at a time; their ids in the same order.

        Raises
        ------
        NodeError
            If the SuperLink does not answer, or says that the run is over.
        """
        return [message_id for batch in _batches(messages) for message_id in self._push(batch)]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Replies that are there, each from the node that was asked.

        Raises
        ------
        NodeError
            As `push_messages`.
        """
        return self._pull(list(message_ids), None)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages and return the replies that come in time."""
        return list(self.receive(messages, timeout))

    def receive(self, messages: Iterable[Message], timeout_s: float | None) -> Iterator[Message]:
        """Send messages and give each reply when it is there."""
        began = time.monotonic()
        exchange = self._begin(self.push_messages(messages), timeout_s)
        del messages
        while True:
            self._look_for_overdue(exchange.deadline)
            n_before = len(exchange.waiting)
            for batch in _cut(list(exchange.waiting), BATCH):
                for reply in self._pull(batch, exchange.deadline):
                    self._note(reply, exchange)
                    yield reply
            if exchange.is_over(self._late):
                break
            has_heard = len(exchange.waiting) < n_before
            time.sleep(PAUSE_S if has_heard else _pause_s(time.monotonic() - began))
        for message_id, node in exchange.waiting.items():
            self._late.add(node)
            self._overdue.add(message_id)

    # --- sending --------------------------------------------------------------------------------

    def _push(self, batch: list[Message]) -> list[str]:
        with _one_sentence():
            sent = {message_id for message_id in self._grid.push_messages(batch) if message_id}
        if not sent and len(batch) > 1:  # too large together
            return [message_id for message in batch for message_id in self._push([message])]
        return [self._remember(message, sent) for message in batch]

    def _remember(self, message: Message, sent: set[str]) -> str:
        metadata = message.metadata
        if metadata.message_id in sent:
            self._asked[metadata.message_id] = _Asked(
                metadata.dst_node_id,
                metadata.message_type,
                metadata.group_id,
                metadata.ttl,
                metadata.created_at + metadata.ttl,
            )
            return metadata.message_id
        self._n_unsent += 1
        message_id = f"unsent-{self._n_unsent}"
        size = payload_bytes(message.content)
        reason = (
            f"a message of {size:,} bytes could not be sent to it: the server has no such node, or "
            "does not take as much"
        )
        log(WARNING, "node %s: %s", metadata.dst_node_id, reason)
        reply = Message(Error(NOT_SENT, reason), reply_to=message)
        reply.metadata.__dict__["_reply_to_message_id"] = message_id
        self._unsent[message_id] = reply
        return message_id

    # --- receiving ------------------------------------------------------------------------------

    def _begin(self, message_ids: Iterable[str], timeout_s: float | None) -> _Exchange:
        waiting, training = {}, set()
        for message_id in message_ids:
            asked = self._asked.get(message_id)
            if asked is None:
                waiting[message_id] = self._unsent[message_id].metadata.src_node_id
                continue
            waiting[message_id] = asked.node
            if asked.message_type == MessageType.TRAIN:
                training.add(message_id)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        n_enough = self._n_quorum(len(training)) if self._n_quorum and training else None
        return _Exchange(waiting, frozenset(training), n_enough, deadline)

    def _pull(self, wanted: list[str], deadline: float | None) -> list[Message]:
        """See `pull_messages`; nothing where that does not come back in time."""
        unsent = [self._unsent.pop(i) for i in wanted if i in self._unsent]
        replied = {reply.metadata.reply_to_message_id for reply in unsent}
        sent = [message_id for message_id in wanted if message_id not in replied]
        if not sent:
            return unsent
        with _one_sentence():
            replies = self._pull_within(sent, deadline)
        return [*unsent, *map(self._attributed, replies)]

    def _pull_within(self, sent: list[str], deadline: float | None) -> list[Message]:
        """What Flower's grid has.

        It would wait minutes for the rest of a reply whose sender died while it sent it.
        """

        def pull() -> list[Message]:
            return list(self._grid.pull_messages(sent))

        if deadline is None or not self._may_block:
            return pull()
        future = in_background(pull)
        try:
            return future.result(max(deadline - time.monotonic(), LAST_LOOK_S))
        except TimeoutError:
            if future.done():
                raise
            self._stuck.append(future)
            return []

    def _note(self, reply: Message, exchange: _Exchange) -> None:
        message_id, node = reply.metadata.reply_to_message_id, reply.metadata.src_node_id
        exchange.waiting.pop(message_id, None)
        if reply.has_content():
            exchange.heard(message_id, is_given=not is_refused(reply))
        if reply.has_error() and reply.error.code in TOO_LATE:
            self._late.add(node)
        else:  # or the SuperLink knows that it is gone, and says so whenever it is asked
            self._late.discard(node)

    def _look_for_overdue(self, deadline: float | None) -> None:
        """Welcome nodes back whose replies came late; the replies are of no use any more."""
        done = [future for future in self._stuck if future.done()]
        self._stuck = [future for future in self._stuck if future not in done]
        with _one_sentence():
            came = [reply for future in done for reply in future.result()]
        for reply in came:
            self._welcome(self._attributed(reply))
        now = time.time()
        for message_id in list(self._overdue):
            asked = self._asked.get(message_id)
            if asked is None or asked.until < now:
                self._overdue.discard(message_id)
                self._asked.pop(message_id, None)
        for batch in _cut(sorted(self._overdue), BATCH):
            for reply in self._pull(batch, deadline):
                self._overdue.discard(reply.metadata.reply_to_message_id)
                self._welcome(reply)

    def _welcome(self, reply: Message) -> None:
        if reply.has_content() or reply.error.code not in TOO_LATE:
            self._late.discard(reply.metadata.src_node_id)

    def _attributed(self, reply: Message) -> Message:
        """The reply, as one of the node that was asked."""
        metadata = reply.metadata
        asked = self._asked.pop(metadata.reply_to_message_id, None)
        if asked is None or not reply.has_error() or metadata.src_node_id != SUPERLINK_NODE_ID:
            return reply
        metadata.__dict__["_src_node_id"] = asked.node
        metadata.__dict__["_message_type"] = asked.message_type
        metadata.__dict__["_group_id"] = asked.group_id
        reasons: Mapping[int, str] = {
            ErrorCode.NODE_UNAVAILABLE: "its node is not connected",
            **dict.fromkeys(TOO_LATE, f"no reply within {asked.ttl_s:g} s"),
        }
        reason = reasons.get(reply.error.code, reply.error.reason)
        return make_message(metadata, error=Error(reply.error.code, reason))


def _pause_s(waited_s: float) -> float:
    """Until the next look for replies."""
    return min(max(PAUSE_S, waited_s / 20.0), LONGEST_PAUSE_S)


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Lists of messages whose contents, each counted once, are not too large together.

    What makes its messages on the way may change their content with the next one: they are sent
    one by one.
    """
    if not isinstance(messages, list | tuple):
        yield from ([message] for message in messages)
        return
    batch: list[Message] = []
    contents: set[int] = set()
    n_bytes = 0
    for message in messages:
        key = id(message.content)
        size = 0 if key in contents else payload_bytes(message.content)
        if batch and (n_bytes + size > PUSHED_BYTES or len(batch) >= PUSHED_AT_ONCE):
            yield batch
            batch, contents, n_bytes = [], set(), 0
            size = payload_bytes(message.content)
        batch.append(message)
        contents.add(key)
        n_bytes += size
    if batch:
        yield batch


def _cut(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[first : first + size] for first in range(0, len(items), size))


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Say in one sentence what is wrong with the SuperLink.

    Raises
    ------
    NodeError
    """
    try:
        yield
    except RunNotRunningException:
        raise NodeError(
            "the server's SuperLink says that this run is over, as it was stopped or the SuperLink "
            f"was started anew: {GOES_ON}."
        ) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "httpx":
            raise
        reason = " ".join(str(error).split()) or "no reason given"
        raise NodeError(
            f"the server's SuperLink does not answer ({type(error).__name__}: {reason}); start it "
            f"again, and {GOES_ON}."
        ) from error
