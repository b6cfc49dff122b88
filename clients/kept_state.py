"""A Flower mod by which a node that was killed goes on as the same member of the same run.

Flower keeps a node's state of a run in memory, forgets it when the node dies, and answers several
messages at once from the same state. Here the state is in the participant's own folder alone,
one message is answered at a time, and what it changes is written before the reply leaves: what the
server has seen of a member is never ahead of what the member remembers, so that no secret is used
twice.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from clients.local_rules import local_settings_of
from conf import resolve
from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.nodes.run_memory import Damaged, RunMemory, server_mark
from fedtrade.nodes.settings import ClientSettings
from fedtrade.secure import PrivateAggregation

__all__ = ["keep"]

RUNS: Final = "runs"
LOST: Final = "memory-lost"

Call = Callable[[Message, Context], Message]


def keep(message: Message, context: Context, call_next: Call) -> Message:
    """Answer from the state that was kept, and keep it again, whatever comes of the answer.

    Raises
    ------
    ConfigurationError
        If what was kept is damaged or of another run, and this one adds up in private or with
        noise: the member could not tell what it has given already, and stays out. It is put aside.
    OutputError
        If the state cannot be written: then no reply leaves, and what was kept before stays.
    LimitError
        If an earlier message is worked on for too long.
    """
    local = local_settings_of(context)
    if local is None:
        return call_next(message, context)
    if message.metadata.run_id != context.run_id:
        raise ProtocolError(
            f"a message of run {message.metadata.run_id} comes with the memory of run "
            f"{context.run_id}."
        )
    memory = _memory(context, local)
    with memory.held(local.allow.most_seconds):
        context.state = _recalled(memory)
        _check_whole(context)
        try:
            return call_next(message, context)
        finally:
            if context.state:
                memory.write(_packed(context.state))


def _memory(context: Context, local: ClientSettings) -> RunMemory:
    server = server_mark(Path(local.root_certificates))
    return RunMemory(Path(local.state) / RUNS, context.run_id, server)


def _recalled(memory: RunMemory) -> RecordDict:
    """What was kept; of a run that is new, or whose memory was lost, nothing but that."""
    found = memory.read()
    if found is None:
        memory.forget_others()
        return RecordDict()
    if isinstance(found, Damaged):
        state = RecordDict({LOST: ConfigRecord({LOST: found.reason})})
        memory.write(_packed(state))
        return state
    return recorddict_from_proto(RecordDictProto.FromString(found))


def _packed(state: RecordDict) -> bytes:
    data: bytes = recorddict_to_proto(state).SerializeToString()
    return data


def _check_whole(context: Context) -> None:
    """Refuse to add up in private, or with noise, without knowing what was given before."""
    lost = context.state.get(LOST)
    if not isinstance(lost, ConfigRecord):
        return
    settings = resolve(str(context.run_config.get("settings", "")))
    is_noisy = settings.privacy.record is not None or settings.privacy.participant is not None
    if is_noisy or isinstance(settings.aggregation, PrivateAggregation):
        what = "what leaves with noise in this run" if is_noisy else "this run's private sums"
        raise ConfigurationError(
            f"{lost[LOST]!s} Therefore it is out of {what}, until the next run."
        )
