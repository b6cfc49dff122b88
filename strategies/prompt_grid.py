"""A grid of real nodes that asks for replies soon, and knows of whom the server speaks.

Flower's own grid of real nodes sleeps 3 s between two looks for replies. And where a node is lost,
or a message too old, the SuperLink answers in its place: such an error says which message it is
about, and not which node.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from logging import WARNING
from typing import Final, TypeVar

from flwr.app import Error, Message
from flwr.serverapp import Grid
from flwr.supercore import log

from strategies.passing_grid import PassingGrid

__all__ = ["BATCH", "LONGEST_PAUSE_S", "PAUSE_S", "PromptGrid", "prompt"]

_T = TypeVar("_T")

BATCH: Final = 16
"""Replies that are asked for at once."""
PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25
PUSHED_AT_ONCE: Final = 16
NOT_PUSHED: Final = 1000
"""An error code of our own, beyond Flower's."""


def prompt(grid: Grid) -> Grid:
    """The grid, wrapped if it is that of real nodes."""
    flowers = sys.modules.get("flwr.superlink.grid.http_grid")  # loaded, if the grid is its
    return PromptGrid(grid) if flowers and isinstance(grid, flowers.HttpGrid) else grid


class PromptGrid(PassingGrid):
    """Wraps Flower's grid of real nodes.

    A message that cannot be sent is answered with an error, as if its node had.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._nodes: dict[str, int] = {}
        self._unsent: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, some at a time; their ids in the same order."""
        ids: list[str] = []
        for batch in _batches(messages, PUSHED_AT_ONCE):
            found = list(self._grid.push_messages(list(batch)))
            # None of them, if they were too large together.
            found += [""] * (len(batch) - len(found))
            ids += [self._note(m, i) for m, i in zip(batch, found, strict=True)]
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there, each from the node that was asked."""
        wanted = list(message_ids)
        unsent = [self._unsent.pop(i) for i in wanted if i in self._unsent]
        sent = [i for i in wanted if i in self._nodes]
        replies = list(self._grid.pull_messages(sent)) if sent else []
        return [*unsent, *map(self._attributed, replies)]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies that come in time."""
        return list(self._received(list(self.push_messages(messages)), timeout))

    def _received(self, waiting: list[str], timeout_s: float | None) -> Iterator[Message]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = PAUSE_S
        while waiting:
            answered: set[str] = set()
            for batch in _batches(waiting, BATCH):
                for reply in self.pull_messages(batch):
                    answered.add(reply.metadata.reply_to_message_id)
                    yield reply
            waiting = [message_id for message_id in waiting if message_id not in answered]
            if not waiting or (deadline is not None and time.monotonic() > deadline):
                return
            pause_s = PAUSE_S if answered else min(1.5 * pause_s, LONGEST_PAUSE_S)
            time.sleep(pause_s)

    def _note(self, message: Message, message_id: str | None) -> str:
        own_id = message_id or message.metadata.message_id
        node = message.metadata.dst_node_id
        if message_id:
            self._nodes[message_id] = node
            return message_id
        log(WARNING, "a message to node %s could not be sent.", node)
        reason = "the message could not be sent to it: it is not there, or the message is too large"
        reply = Message(Error(NOT_PUSHED, reason), reply_to=message)
        self._unsent[own_id] = reply
        return own_id

    def _attributed(self, reply: Message) -> Message:
        """The reply, as one of the node that was asked."""
        node = self._nodes.pop(reply.metadata.reply_to_message_id, None)
        if node is not None and reply.metadata.src_node_id != node:
            reply.metadata.__dict__["_src_node_id"] = node
        return reply


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
