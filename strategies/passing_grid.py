"""A grid that wraps another one and passes everything on: what such grids have in common."""

from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

__all__ = ["PassingGrid"]


class PassingGrid(Grid):
    """Wraps an open grid, which does everything.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """See the wrapped grid."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """See the wrapped grid."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """See the wrapped grid."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See the wrapped grid."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """See the wrapped grid."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See the wrapped grid."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See the wrapped grid."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """See the wrapped grid."""
        return self._grid.send_and_receive(messages, timeout=timeout)

    def receive(self, messages: Iterable[Message], timeout_s: float | None) -> Iterable[Message]:
        """Send messages and give each reply when it is there, if the wrapped grid can do so."""
        if isinstance(self._grid, PassingGrid):
            return self._grid.receive(messages, timeout_s)
        return self._grid.send_and_receive(messages, timeout=timeout_s)

    @property
    def late(self) -> frozenset[int]:
        """Nodes that did not answer in time, where the wrapped grid knows of any."""
        return self._grid.late if isinstance(self._grid, PassingGrid) else frozenset()

    def forgive(self) -> None:
        """Wait again for nodes that were late, where the wrapped grid does not."""
        if isinstance(self._grid, PassingGrid):
            self._grid.forgive()
