"""A Flower mod by which a node that was killed goes on as the same member of the same run.

Flower keeps a node's state of a run in memory, and forgets it when the node dies. Here it is also
in the participant's own folder, written before each reply leaves: what the server has seen of a
member is never ahead of what the member remembers, so that no secret is used twice.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from google.protobuf.message import DecodeError

from clients.local_rules import local_settings_of
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.private_files import make_private_folder, write_private

__all__ = ["keep"]

RUNS: Final = "runs"
SUFFIX: Final = ".state"
MOST_RUNS: Final = 20
MOST_DAYS: Final = 30.0

Call = Callable[[Message, Context], Message]


def keep(message: Message, context: Context, call_next: Call) -> Message:
    """Answer from the state that was kept, and keep it again, whatever comes of the answer.

    Raises
    ------
    ConfigurationError
        If what was kept cannot be read; it is put aside.
    OutputError
        If the state cannot be written: then no reply leaves, and what was kept before stays.
    """
    local = local_settings_of(context)
    if local is None:
        return call_next(message, context)
    path = Path(local.state) / RUNS / f"{context.run_id}{SUFFIX}"
    if path.exists():
        # Flower's own copy is older, if a process died behind the writing.
        context.state = _read(path)
    else:
        make_private_folder(path.parent)
        _prune(path.parent)
    try:
        return call_next(message, context)
    finally:
        write_private(path, recorddict_to_proto(context.state).SerializeToString())


def _read(path: Path) -> RecordDict:
    try:
        return recorddict_from_proto(RecordDictProto.FromString(path.read_bytes()))
    except (OSError, DecodeError, ValueError, TypeError, KeyError) as error:
        aside = path.with_suffix(".damaged")
        path.rename(aside)
        raise ConfigurationError(
            f"what this participant remembers of the run cannot be read ({type(error).__name__}); "
            f"it was put aside as {aside}, and the node is out of this run's private sums."
        ) from None


def _prune(folder: Path) -> None:
    """Forget runs that are long over."""
    oldest = time.time() - MOST_DAYS * 86400.0
    files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for k, file in enumerate(files):
        if k >= MOST_RUNS - 1 or file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
