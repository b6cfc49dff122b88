"""Flower's own state of a SuperLink, in memory, and nodes that threads play by its rules."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, cast
from uuid import uuid4

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import HEARTBEAT_INTERVAL_INF
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.linkstate import InMemoryLinkState, LinkStateFactory
from flwr.server.superlink.linkstate.in_memory_linkstate import RunRecord
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.grid.inmemory_grid import InMemoryGrid

from simulations.fast_records import fast_records
from simulations.participant import answer
from simulations.task_identity import Identity, task_identity

__all__ = ["Link"]

RUN_ID = 7
TASK_ID = 1
OWNER = "owner"


class Link:
    """A SuperLink with some nodes; use it as a context.

    Attributes
    ----------
    grid : Grid
        Of the ServerApp.
    nodes : list of int
        Node ids, by the nodes' numbers.
    delay : callable
        Seconds that a node takes for a message, by its number and the message; it may be set.
    """

    def __init__(
        self,
        app: ClientApp,
        n_nodes: int,
        *,
        names: Sequence[str] | None = None,
        keys: Sequence[bytes] | None = None,
        run_config: dict[str, Any] | None = None,
        node_configs: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self._app = app
        factory = LinkStateFactory(
            FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), ObjectStoreFactory()
        )
        self._state = cast(InMemoryLinkState, factory.state())
        run = Run.create_empty(RUN_ID)
        run.federation_id, run.primary_task_id = NOOP_FEDERATION_ID, TASK_ID
        self._state.task_store[TASK_ID] = Task(task_id=TASK_ID, run_id=RUN_ID)
        self._state.run_ids[RUN_ID] = RunRecord(run=run)
        self.grid = InMemoryGrid(factory)
        self.grid.set_run(run)
        self.delay: Callable[[int, Message], float] = lambda number, message: 0.0
        self.nodes: list[int] = []
        self._contexts: list[Context] = []
        for k in range(n_nodes):
            key = keys[k] if keys else f"key of {k}".encode()
            node = self._state.create_node(
                OWNER, OWNER, key, HEARTBEAT_INTERVAL_INF, name=names[k] if names else None
            )
            self.nodes.append(node)
            config = {"partition-id": k, "num-partitions": n_nodes}
            config |= node_configs[k] if node_configs else {}
            self._contexts.append(Context(RUN_ID, node, config, RecordDict(), run_config or {}))
            self.connect(k)
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._play, args=(k,), daemon=True) for k in range(n_nodes)
        ]
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(task_identity(Identity(RUN_ID)))
        # Nodes are processes of their own elsewhere; here their threads would read the headers of
        # arrays beside each other, which Python 3.11 cannot do safely (`fast_records`).
        self._open.enter_context(fast_records())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(5.0)
        self._open.close()

    def connect(self, number: int) -> None:
        """Let a node report that it is there."""
        self._state.acknowledge_node_heartbeat(self.nodes[number], HEARTBEAT_INTERVAL_INF)

    def lose(self, number: int) -> None:
        """Let the SuperLink find out that a node is gone."""
        self._state.acknowledge_node_heartbeat(self.nodes[number], 0.0)
        time.sleep(0.001)

    def _play(self, number: int) -> None:
        node = self.nodes[number]
        while not self._is_over.wait(0.005):
            for message in self._state.get_message_ins(node, 1):
                if self._is_over.wait(self.delay(number, message)):
                    return
                reply, context = answer(self._app, message, self._contexts[number])
                self._contexts[number] = context or self._contexts[number]
                reply.metadata.__dict__["_message_id"] = str(uuid4())
                self._state.store_message_res(reply)
