"""A federation inside this process: Flower's `Grid` without Ray, network or database.

An unchanged ServerApp and ClientApp run on it, thousands of participants strong::

    context = simulate(server_app, client_app, n_participants=1_000, seed=1)

What the apps observe is what Flower shows them: each participant has its own `Context` whose state
lasts for the run, nobody can change what another one holds, an exception becomes an error reply of
the participant that raised it, and messages expire with their time to live. What differs is for
the better: node ids and the order of replies follow from the seed, and a reply that Flower would
silently drop (to nobody, from somebody else, not a Message) is an error reply that says why.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Literal, Self, TypeAlias

from flwr.app import Context, Error, Message, Metadata, RecordDict, UserConfig
from flwr.app.message.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.run import Run

from simulations.app_reference import load_client_app, load_server_app
from simulations.fast_records import fast_records
from simulations.flower_log import QUIET, flower_log_level
from simulations.participant import answer, error_reply
from simulations.records import copy_metadata, copy_once
from simulations.seeding import global_seed
from simulations.task_identity import Identity, task_identity
from simulations.workers import Contexts, InlineWorker, ProcessTurn, WorkerPool, Workers

__all__ = ["InProcessGrid", "WorkerKind", "simulate"]

WorkerKind: TypeAlias = Literal["threads", "processes"]

# Flower's ids are unsigned 64-bit numbers; 63 bits fit its config records as well.
_ID_BITS = 63


class InProcessGrid(Grid):
    """Runs a ClientApp for every participant, in the caller's thread or in workers.

    Use it as a context manager, which gives new messages the identity of the run and stops the
    workers in the end. With `n_workers=0` participants run in the caller's thread when replies are
    asked for; otherwise as soon as their messages are pushed.

    Parameters
    ----------
    client_app : ClientApp or str
        The app, or where to import it from as ``"module:attribute"`` (required by processes).
    n_participants : int
        At least 1; participant i has the partition id i.
    seed : int
        Decides the run id and the node ids.
    run_config : mapping or None
        The `run_config` of every participant's context.
    node_configs : mapping or None
        Further entries of `node_config` by partition id.
    n_workers : int
        Number of worker threads or processes; 0 for none.
    workers : {"threads", "processes"}
        Threads suit apps that leave the interpreter (torch, I/O); processes all others.

    Raises
    ------
    ValueError
        If a number is out of range, `workers` is unknown, or `client_app` is misspelt.
    TypeError
        If processes are wanted and `client_app` is not an import string.
    """

    def __init__(
        self,
        client_app: ClientApp | str,
        n_participants: int,
        *,
        seed: int = 0,
        run_config: UserConfig | None = None,
        node_configs: Mapping[int, UserConfig] | None = None,
        n_workers: int = 0,
        workers: WorkerKind = "threads",
    ) -> None:
        _check_counts(n_participants, n_workers, workers)
        self._reference = client_app if isinstance(client_app, str) else None
        self._client_app = (
            load_client_app(client_app) if isinstance(client_app, str) else client_app
        )
        if workers == "processes" and n_workers and self._reference is None:
            raise TypeError(
                "worker processes import the ClientApp by themselves: pass client_app as "
                f"'module:attribute', got {type(client_app)}"
            )
        run_id, self._node_ids = _draw_ids(n_participants, seed)
        self._run = Run.create_empty(run_id)
        self._identity = Identity(run_id)
        partitions = {node_id: partition for partition, node_id in enumerate(self._node_ids)}
        self._contexts = Contexts(run_id, partitions, run_config or {}, node_configs or {})
        self._n_workers = n_workers
        self._kind = workers
        self._workers: Workers | None = None
        self._open = ExitStack()
        self._n_sent = 0
        self._lost: dict[str, Message] = {}
        self._unanswered: dict[str, None] = {}  # in the order of sending

    def __enter__(self) -> Self:
        """Take the identity of the run and start the workers."""
        with ExitStack() as stack:
            stack.enter_context(task_identity(self._identity))
            stack.enter_context(fast_records())
            self._workers = self._start_workers()
            stack.callback(self._workers.close)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the workers and restore the identity from before."""
        self._workers = None
        self._open.close()

    def set_run(self, run: Run) -> None:
        """Refused unless it is this grid's own run, which is set from the start."""
        if run.run_id != self._run.run_id:
            raise ValueError(f"the grid runs {self._run.run_id}, not {run.run_id}")

    @property
    def run(self) -> Run:
        """A copy of the run's description."""
        return Run(**vars(self._run))

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message, as the constructor of `Message` does."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """The node ids, in the order of the partition ids."""
        return list(self._node_ids)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages as they are now and return their ids in the same order.

        Raises
        ------
        ValueError
            If a message carries an error, answers another one, or belongs to another run.
        RuntimeError
            If the grid is not open.
        """
        workers = self._opened()
        # Strategies give one record dictionary to all their messages. In a list none of them can
        # change between one message and the next; a generator may change it as it goes.
        shared: dict[int, RecordDict] | None = {} if isinstance(messages, list | tuple) else None
        ids = []
        for message in messages:
            self._check(message)
            ids.append(self._send(message, shared, workers))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there, in the order in which their messages were sent; each only once.

        Without workers the participants asked run now. An id that was never sent, or whose reply
        was pulled before, gives an error reply `MESSAGE_UNAVAILABLE`, as from Flower's SuperLink.
        """
        workers, wanted = self._opened(), set(message_ids)
        workers.poll(wanted)
        return self._collect(wanted, workers)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies in the same order.

        After `timeout` seconds the replies that are there are returned; a turn that has begun in
        the caller's thread is finished first. Later ones can still be pulled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        workers = self._opened()
        ids = list(self.push_messages(messages))
        del messages
        workers.wait([i for i in ids if i not in self._lost], deadline)
        return self._collect(ids, workers)

    def _opened(self) -> Workers:
        if self._workers is None:
            raise RuntimeError("open the grid first: `with InProcessGrid(...) as grid:`")
        return self._workers

    def _start_workers(self) -> Workers:
        turn = partial(answer, self._client_app)
        if self._n_workers == 0:
            return InlineWorker(turn, self._contexts)
        if self._kind == "threads":
            return WorkerPool([turn] * self._n_workers, self._contexts)
        reference = str(self._reference)
        turns = [ProcessTurn(reference, self._identity) for _ in range(self._n_workers)]
        return WorkerPool(list(turns), self._contexts)

    def _check(self, message: Message) -> None:
        metadata = message.metadata
        if not message.has_content() or metadata.reply_to_message_id:
            raise ValueError(f"only messages with content and no reply can be sent, got {message}")
        if metadata.run_id != self._run.run_id or metadata.src_node_id != SUPERLINK_NODE_ID:
            raise ValueError(
                f"the message is from node {metadata.src_node_id} of run {metadata.run_id}, not "
                f"from the server of run {self._run.run_id}; create messages while the grid is open"
            )
        if metadata.ttl <= 0:
            raise ValueError(f"a message's ttl must be positive, got {metadata.ttl}")

    def _send(
        self, message: Message, shared: dict[int, RecordDict] | None, workers: Workers
    ) -> str:
        """Give the message its id and hand it on as it is now."""
        message_id = self._next_id()
        message.metadata.__dict__["_message_id"] = message_id
        self._unanswered[message_id] = None
        node_id = message.metadata.dst_node_id
        if node_id in self._contexts:
            content = copy_once(message.content, shared)
            workers.submit(make_message(copy_metadata(message.metadata), content=content))
        else:
            reason = f"the federation has no node {node_id}"
            self._lost[message_id] = error_reply(
                message.metadata, ErrorCode.NODE_UNAVAILABLE, reason
            )
        return message_id

    def _next_id(self) -> str:
        self._n_sent += 1
        return f"{self._run.run_id:016x}{self._n_sent:016x}"

    def _collect(self, message_ids: Collection[str], workers: Workers) -> list[Message]:
        """Take the replies that are there, in the order of sending."""
        wanted = set(message_ids)
        replies = []
        for message_id in [i for i in self._unanswered if i in wanted]:
            wanted.discard(message_id)
            reply = self._lost.pop(message_id, None) or workers.pop_reply(message_id)
            if reply is not None:
                del self._unanswered[message_id]
                reply.metadata.__dict__["_message_id"] = f"re-{message_id}"
                replies.append(reply)
        return replies + [self._unknown(message_id) for message_id in sorted(wanted)]

    def _unknown(self, message_id: str) -> Message:
        metadata = Metadata(
            run_id=self._run.run_id,
            message_id=f"re-{message_id}",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=SUPERLINK_NODE_ID,
            reply_to_message_id=message_id,
            group_id="",
            created_at=time.time(),
            ttl=0,
            message_type=SYSTEM_MESSAGE_TYPE,
        )
        reason = "no message with this id awaits a reply"
        return make_message(metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, reason))


def simulate(
    server_app: ServerApp | str,
    client_app: ClientApp | str,
    *,
    n_participants: int,
    run_config: UserConfig | None = None,
    node_configs: Mapping[int, UserConfig] | None = None,
    server_state: RecordDict | None = None,
    seed: int = 0,
    n_workers: int = 0,
    workers: WorkerKind = "threads",
    log_level: int = QUIET,
    around: Callable[[Grid], Grid] | None = None,
) -> Context:
    """Run a ServerApp with its participants in this process and return the server's context.

    Python's and NumPy's global generators, from which Flower samples participants, start from
    `seed`; they, Flower's identity and its log level are restored afterwards.

    Parameters
    ----------
    server_app, client_app : app or str
        Apps, or where to import them from as ``"module:attribute"``.
    run_config : mapping or None
        The `run_config` of the server and of every participant.
    server_state : RecordDict or None
        What the server's context starts with; it is used as it is, not copied.
    log_level : int
        Flower's messages below this level (of `logging`) are dropped.
    around : callable or None
        Wraps the grid before the ServerApp gets it.

    The other parameters, and the errors, are those of `InProcessGrid`; what the ServerApp raises
    passes through.
    """
    app = load_server_app(server_app) if isinstance(server_app, str) else server_app
    grid = InProcessGrid(
        client_app,
        n_participants,
        seed=seed,
        run_config=run_config,
        node_configs=node_configs,
        n_workers=n_workers,
        workers=workers,
    )
    context = Context(
        run_id=grid.run.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict() if server_state is None else server_state,
        run_config=dict(run_config or {}),
    )
    with flower_log_level(log_level), global_seed(seed), grid:
        app(grid if around is None else around(grid), context)
    return context


def _check_counts(n_participants: int, n_workers: int, workers: str) -> None:
    if n_participants < 1:
        raise ValueError(f"n_participants must be at least 1, got {n_participants}")
    if n_workers < 0:
        raise ValueError(f"n_workers must be at least 0, got {n_workers}")
    if workers not in ("threads", "processes"):
        raise ValueError(f"workers must be 'threads' or 'processes', got {workers!r}")


def _draw_ids(n_participants: int, seed: int) -> tuple[int, list[int]]:
    """A run id and distinct node ids, none of them reserved (0 and the server's)."""
    generator = random.Random(seed)
    ids: dict[int, None] = {}
    while len(ids) < n_participants + 1:
        drawn = generator.getrandbits(_ID_BITS)
        if drawn > SUPERLINK_NODE_ID:
            ids[drawn] = None
    run_id, *node_ids = ids
    return run_id, node_ids
