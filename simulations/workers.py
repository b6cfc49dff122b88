"""Who runs the participants: the caller's thread, worker threads or worker processes.

All three answer a participant's messages one at a time and in the order they were sent, each with
the context that the previous answer left behind. So the replies do not depend on the number or kind
of workers, as long as a ClientApp draws its randomness from its own generator (seeded by what the
message or the node's configuration says) and not from a global one.

`TaskIdentity`, which Flower keeps as class attributes, is the server's in every worker: a thread of
its own could not have another, and replies take their identity from the message they answer.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Protocol

from flwr.app import Context, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import NUM_PARTITIONS_KEY, PARTITION_ID_KEY, ErrorCode
from flwr.supercore.logger import FLOWER_LOGGER

from simulations.app_reference import load_client_app
from simulations.fast_records import fast_records
from simulations.participant import Answer, Turn, answer, error_reply, reason_of
from simulations.task_identity import Identity, task_identity

__all__ = ["Contexts", "InlineWorker", "ProcessTurn", "WorkerPool", "Workers"]

_GRACE_S = 1.0
_STOP_S = 0.3  # for a process to end by itself; it has nothing to save
_HEED_SIGNALS_S = 0.2


class Contexts:
    """The context of every participant of a run; its state lives from round to round.

    A participant's context is made when it is first needed: its `node_config` holds `partition-id`,
    `num-partitions` and whatever `node_configs` adds for that partition.
    """

    def __init__(
        self,
        run_id: int,
        node_ids: Mapping[int, int],
        run_config: UserConfig,
        node_configs: Mapping[int, UserConfig],
    ) -> None:
        self._run_id = run_id
        self._partitions = node_ids
        self._run_config = run_config
        self._node_configs = node_configs
        self._kept: dict[int, Context] = {}

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._partitions

    def take(self, node_id: int) -> Context:
        """The participant's context as its last turn left it."""
        kept = self._kept.get(node_id)
        return kept if kept is not None else self._new(node_id)

    def keep(self, node_id: int, context: Context | None) -> None:
        """Remember what a turn changed (None: nothing)."""
        if context is not None:
            self._kept[node_id] = context

    def _new(self, node_id: int) -> Context:
        partition = self._partitions[node_id]
        own = self._node_configs.get(partition, {})
        return Context(
            run_id=self._run_id,
            node_id=node_id,
            node_config={
                PARTITION_ID_KEY: partition,
                NUM_PARTITIONS_KEY: len(self._partitions),
                **own,
            },
            state=RecordDict(),
            run_config=dict(self._run_config),
        )


class Workers(Protocol):
    """Take messages, give replies. `deadline` is a time of `time.monotonic`, None for never."""

    def submit(self, message: Message) -> None:
        """Accept a message that nobody else will change."""

    def wait(self, message_ids: Collection[str], deadline: float | None) -> None:
        """Return when all of `message_ids` are answered, or at the deadline."""

    def poll(self, message_ids: Collection[str]) -> None:
        """Return at once where work goes on in the background; otherwise answer these now."""

    def pop_reply(self, message_id: str) -> Message | None:
        """The reply to a message, once; None while there is none."""

    def close(self) -> None:
        """Stop; work in progress is abandoned."""


class InlineWorker:
    """Runs participants in the caller's thread when their replies are asked for."""

    def __init__(self, turn: Turn, contexts: Contexts) -> None:
        self._turn = turn
        self._contexts = contexts
        self._mail: deque[Message] = deque()
        self._replies: dict[str, Message] = {}

    def submit(self, message: Message) -> None:
        """Put a message at the end of the queue."""
        self._mail.append(message)

    def wait(self, message_ids: Collection[str], deadline: float | None) -> None:
        """Answer what is queued, in order; a turn that has begun is never cut short."""
        while self._mail and (deadline is None or time.monotonic() < deadline):
            self._answer_next()

    def poll(self, message_ids: Collection[str]) -> None:
        """Answer what is queued, in order, up to the last of these."""
        left = {message.metadata.message_id for message in self._mail}.intersection(message_ids)
        while left:
            left.discard(self._answer_next())

    def _answer_next(self) -> str:
        message = self._mail.popleft()
        message_id = message.metadata.message_id
        node_id = message.metadata.dst_node_id
        reply, context = self._turn(message, self._contexts.take(node_id))
        self._contexts.keep(node_id, context)
        self._replies[message_id] = reply
        return message_id

    def pop_reply(self, message_id: str) -> Message | None:
        """The reply to a message, once; None while there is none."""
        return self._replies.pop(message_id, None)

    def close(self) -> None:
        """Forget what is queued."""
        self._mail.clear()


class WorkerPool:
    """Threads that each take the next participant with mail and give it one turn.

    Parameters
    ----------
    turns : list of Turn
        One for each thread: the ClientApp itself, or the process that the thread speaks for. What
        has a method `close` is closed by its thread, what has `kill` is killed if it still works
        when the pool closes.
    """

    def __init__(self, turns: list[Turn], contexts: Contexts) -> None:
        self._contexts = contexts
        self._mail: dict[int, deque[Message]] = {}
        self._ready: deque[int] = deque()
        self._replies: dict[str, Message] = {}
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._closed = False
        self._turns = turns
        self._threads = [
            threading.Thread(target=self._work, args=(turn,), name=f"worker-{i}", daemon=True)
            for i, turn in enumerate(turns)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, message: Message) -> None:
        """Queue a message behind the participant's earlier ones."""
        node_id = message.metadata.dst_node_id
        with self._changed:
            if node_id in self._mail:
                self._mail[node_id].append(message)
                return
            self._mail[node_id] = deque([message])
            self._ready.append(node_id)
            self._changed.notify()

    def wait(self, message_ids: Collection[str], deadline: float | None) -> None:
        """Return when all of `message_ids` are answered, or at the deadline."""
        missing = set(message_ids)
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                missing.difference_update(self._replies)
                if not missing:
                    return
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                # Not for ever: a signal that another thread received is handled when this one runs.
                self._changed.wait(min(left or _HEED_SIGNALS_S, _HEED_SIGNALS_S))

    def poll(self, message_ids: Collection[str]) -> None:
        """Raise what a worker failed of; otherwise do nothing, the workers are busy anyway."""
        with self._changed:
            if self._failure is not None:
                raise self._failure

    def pop_reply(self, message_id: str) -> Message | None:
        """The reply to a message, once; None while there is none."""
        with self._changed:
            return self._replies.pop(message_id, None)

    def close(self) -> None:
        """Stop the workers, the busy ones too as far as that is possible."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = time.monotonic() + _STOP_S
        for thread, turn in zip(self._threads, self._turns, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive() and isinstance(turn, ProcessTurn):
                turn.kill()
                thread.join(_GRACE_S)

    def _work(self, turn: Turn) -> None:
        try:
            while (mail := self._next()) is not None:
                node_id, message = mail
                message_id = message.metadata.message_id
                reply, context = turn(message, self._contexts.take(node_id))
                self._finish(node_id, message_id, reply, context)
        except BaseException as failure:  # a defect of ours: raised again where replies are awaited
            with self._changed:
                self._failure = failure
                self._changed.notify_all()
        finally:
            if isinstance(turn, ProcessTurn):
                turn.close()

    def _next(self) -> tuple[int, Message] | None:
        with self._changed:
            while not self._ready and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            node_id = self._ready.popleft()
            return node_id, self._mail[node_id].popleft()

    def _finish(self, node_id: int, message_id: str, reply: Message, kept: Context | None) -> None:
        with self._changed:
            self._contexts.keep(node_id, kept)
            self._replies[message_id] = reply
            if self._mail[node_id]:
                self._ready.append(node_id)
            else:
                del self._mail[node_id]
            self._changed.notify_all()


class ProcessTurn:
    """A turn taken in a process of its own, which lives until it is closed or dies.

    The process is spawned, never forked: a fork would copy the locks of torch's threads. If it
    dies, the participant at work gets an error reply (`CLIENT_APP_CRASHED`) and the next turn
    starts a new process. As with every use of spawned processes, a script that starts them keeps
    its main part under ``if __name__ == "__main__":``.

    Parameters
    ----------
    client_app : str
        Where the process finds the ClientApp, as ``"module:attribute"``.
    """

    def __init__(self, client_app: str, identity: Identity) -> None:
        self._client_app = client_app
        self._identity = identity
        self._start()

    def __call__(self, message: Message, context: Context) -> Answer:
        """Send both to the process and wait for its answer."""
        payload = pickle.dumps((message, context), pickle.HIGHEST_PROTOCOL)
        try:
            if not self._process.is_alive():
                self._restart()
            self._connection.send_bytes(payload)
            reply: Answer = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join(_GRACE_S)
            reason = (
                f"the worker process ended with exit code {self._process.exitcode} while "
                f"participant {context.node_config[PARTITION_ID_KEY]} was at work"
            )
            return error_reply(message.metadata, ErrorCode.CLIENT_APP_CRASHED, reason), None
        return reply

    def kill(self) -> None:
        """End the process at once; a turn in progress returns an error reply."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end by itself, or end it if it does not do so at once."""
        self._connection.close()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _restart(self) -> None:
        self.close()
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve,
            args=(theirs, self._client_app, self._identity, FLOWER_LOGGER.level),
            daemon=True,
        )
        # Started first, because it would let interrupts through again.
        resource_tracker.ensure_running()
        with _without_interrupts():
            self._process.start()
        # Only the process holds the other end now, so that its death shows as end of file.
        theirs.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back from this thread and from processes that it starts meanwhile.

    A terminal sends it to all of them; one that is still importing would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, client_app: str, identity: Identity, log_level: int) -> None:
    """Answer until the other end closes; the body of a worker process.

    Workers share the cores among them, so each computes in one thread: numerical libraries that
    are loaded from here on (torch with the ClientApp) would otherwise fight over the cores.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.getLogger(FLOWER_LOGGER.name).setLevel(log_level)
    load = _cached_loader(client_app)
    with task_identity(identity), fast_records(), suppress(EOFError):
        while True:
            message, context = pickle.loads(connection.recv_bytes())
            connection.send_bytes(_pickled_answer(load, message, context))


def _cached_loader(client_app: str) -> Callable[[], ClientApp]:
    loaded: list[ClientApp] = []

    def load() -> ClientApp:
        if not loaded:
            loaded.append(load_client_app(client_app))
        return loaded[0]

    return load


def _pickled_answer(load: Callable[[], ClientApp], message: Message, context: Context) -> bytes:
    asked = message.metadata
    try:
        client_app = load()
    except Exception as error:
        reply = error_reply(asked, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, reason_of(error))
        return pickle.dumps((reply, None), pickle.HIGHEST_PROTOCOL)
    given = answer(client_app, message, context)
    try:
        return pickle.dumps(given, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        reply = error_reply(asked, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason_of(error))
        return pickle.dumps((reply, None), pickle.HIGHEST_PROTOCOL)
