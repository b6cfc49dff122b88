"""A grid that counts what passes: exchanges, and bytes to and from each node."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedtrade.report.privacy import EVALUATION, JOINING, RUN, SUM, TRAINING, Traffic
from fedtrade.secure.statement import PARTICIPANTS
from fedtrade.wire import DESCRIBE
from fedtrade.wire import SUM as SUM_MESSAGE
from strategies.passing_grid import PassingGrid

__all__ = ["MeteredGrid", "payload_bytes"]

KINDS: Final = {
    DESCRIBE: JOINING,
    SUM_MESSAGE: SUM,
    str(MessageType.TRAIN): TRAINING,
    str(MessageType.EVALUATE): EVALUATION,
}
NUMBER_BYTES: Final = 8


@dataclass(slots=True)
class _Tally:
    n_times: int = 0
    n_exchanges: int = 0
    down: Counter[int] = field(default_factory=Counter)
    up: Counter[int] = field(default_factory=Counter)


class MeteredGrid(PassingGrid):
    """Wraps an open grid, which does everything.

    An exchange is one `send_and_receive`, or one `push_messages` with what is pulled of it. It is
    of the kind of its messages; stages of a protocol by themselves belong to what came before them,
    be it a sum, a round or the beginning of a run.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._tallies: dict[str, _Tally] = defaultdict(_Tally)
        self._current = JOINING

    def traffic(
        self, nodes: Collection[int] | None = None, party: str = PARTICIPANTS
    ) -> tuple[Traffic, ...]:
        """Totals by kind in the order in which they came first, and those of the run.

        Parameters
        ----------
        nodes : collection of int or None
            Of whom the bytes are told; None for all that a message was sent to.
        party : str
            What they are.
        """
        whole = _Tally(1)
        for tally in self._tallies.values():
            whole.n_exchanges += tally.n_exchanges
            whole.down += tally.down
            whole.up += tally.up
        told = sorted(whole.down if nodes is None else nodes)
        return tuple(
            _traffic(party, kind, tally, told)
            for kind, tally in [*self._tallies.items(), (RUN, whole)]
        )

    def count(self) -> tuple[int, int]:
        """Bytes from all nodes so far, and to them."""
        tallies = self._tallies.values()
        return sum(t.up.total() for t in tallies), sum(t.down.total() for t in tallies)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; an exchange."""
        return self._grid.push_messages(self._counted(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there."""
        return self._received(self._grid.pull_messages(message_ids))

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies; an exchange."""
        return self._received(self._grid.send_and_receive(self._counted(messages), timeout=timeout))

    def receive(self, messages: Iterable[Message], timeout_s: float | None) -> Iterator[Message]:
        """Send messages and give each reply when it is there; an exchange."""
        for reply in super().receive(self._counted(messages), timeout_s):
            yield from self._received([reply])

    def _counted(self, messages: Iterable[Message]) -> Iterable[Message]:
        """The messages, a list as a list: a grid may rely on nobody changing it meanwhile."""
        if not isinstance(messages, list | tuple):
            return self._passing(messages, payload_bytes)
        # Strategies give one content to all their messages.
        contents = {id(message.content): message.content for message in messages}
        sizes = {key: payload_bytes(content) for key, content in contents.items()}
        for _ in self._passing(messages, lambda content: sizes[id(content)]):
            pass
        return messages

    def _passing(
        self, messages: Iterable[Message], size: Callable[[RecordDict], int]
    ) -> Iterator[Message]:
        """The messages as they pass; of which kind they are is known with the first that tells."""
        sent: Counter[int] = Counter()
        kind = ""
        for message in messages:
            kind = kind or KINDS.get(message.metadata.message_type, "")
            sent[message.metadata.dst_node_id] += size(message.content)
            yield message
        if not sent:
            return
        self._current = kind or self._current
        tally = self._tallies[self._current]
        tally.n_times += bool(kind)
        tally.n_exchanges += 1
        tally.down.update(sent)

    def _received(self, replies: Iterable[Message]) -> list[Message]:
        found = list(replies)
        for reply in found:
            if reply.has_content():
                kind = KINDS.get(reply.metadata.message_type, self._current)
                size = payload_bytes(reply.content)
                self._tallies[kind].up[reply.metadata.src_node_id] += size
        return found


def payload_bytes(content: RecordDict) -> int:
    """Bytes of names and values, without what the transport adds; a number has eight."""
    return sum(_size(name) + _record_bytes(record) for name, record in content.items())


def _record_bytes(record: Any) -> int:
    if isinstance(record, ArrayRecord):
        return sum(_size(name) + len(array.data) for name, array in record.items())
    return sum(_size(name) + _size(value) for name, value in record.items())


def _size(value: Any) -> int:
    match value:
        case bytes():
            return len(value)
        case str():
            return len(value.encode())
        case list():
            return sum(map(_size, value))
        case _:
            return NUMBER_BYTES


def _traffic(party: str, kind: str, tally: _Tally, nodes: Collection[int]) -> Traffic:
    down, up = ([counts[node] for node in nodes] for counts in (tally.down, tally.up))
    n = len(nodes) or 1
    return Traffic(
        party=party,
        kind=kind,
        n_times=tally.n_times,
        n_exchanges=tally.n_exchanges,
        mean_bytes_down=sum(down) / n,
        most_bytes_down=max(down, default=0),
        mean_bytes_up=sum(up) / n,
        most_bytes_up=max(up, default=0),
    )
