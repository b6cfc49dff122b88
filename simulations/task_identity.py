"""Who Flower thinks is running: the task, run and node that new messages are stamped with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore.task_identity import TaskIdentity

__all__ = ["Identity", "task_identity"]


class Identity(NamedTuple):
    """The identity of a ServerApp's task."""

    run_id: int
    task_id: int = 1
    node_id: int = SUPERLINK_NODE_ID


@contextmanager
def task_identity(identity: Identity) -> Iterator[None]:
    """Set Flower's process-wide identity inside the block, whatever it was before."""
    # The public properties raise while nothing is set, so the attributes behind them are kept.
    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    TaskIdentity.task_id = identity.task_id
    TaskIdentity.run_id = identity.run_id
    TaskIdentity.node_id = identity.node_id
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before
