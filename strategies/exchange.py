"""Ask several nodes the same thing and read their answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.wire import ARRAYS, CONFIG, printable
from strategies.passing_grid import PassingGrid
from strategies.prompt_grid import PromptGrid
from strategies.replies import Refusal, read_arrays

__all__ = ["Answer", "array_record", "ask", "gather", "receive"]


class Answer(NamedTuple):
    """A usable reply."""

    node_id: int
    message: Message
    arrays: Mapping[str, NDArray[Any]]


def array_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Arrays as Flower sends them."""
    return ArrayRecord({name: Array(values) for name, values in arrays.items()})


def ask(
    grid: Grid,
    nodes: Sequence[int],
    message_type: str,
    arrays: Mapping[str, NDArray[Any]],
    config: Mapping[str, int | str],
    timeout_s: float,
    records: Mapping[str, ConfigRecord] | None = None,
) -> tuple[list[Answer], list[Refusal]]:
    """Send one message to every node; answers come in the order of the nodes.

    A node that does not answer in time, answers with an error or with arrays that cannot be
    decoded is among the refusals.

    Parameters
    ----------
    records : mapping of str to ConfigRecord, or None
        Further records of each message.
    """
    content = RecordDict({ARRAYS: array_record(arrays), CONFIG: ConfigRecord(dict(config))})
    for name, record in (records or {}).items():
        content[name] = record
    messages = [Message(content, node, message_type, ttl=timeout_s) for node in nodes]
    return gather(messages, grid.send_and_receive(messages, timeout=timeout_s), timeout_s)


def receive(grid: Grid, messages: Iterable[Message], timeout_s: float | None) -> Iterator[Message]:
    """Send messages and give each reply when it is there; few of them are in memory at a time.

    It ends when all have answered, or after `timeout_s`.
    """
    prompt = grid if isinstance(grid, PassingGrid) else PromptGrid(grid)
    yield from prompt.receive(messages, timeout_s)


def gather(
    messages: Sequence[Message], replies: Iterable[Message], timeout_s: float | None
) -> tuple[list[Answer], list[Refusal]]:
    """Sort the replies to messages, one a node, as `ask` does."""
    nodes = [message.metadata.dst_node_id for message in messages]
    answers: dict[int, Answer] = {}
    reasons: dict[int, str] = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        try:
            answers[node] = Answer(node, reply, read_arrays(reply))
        except ValueError as error:
            reasons[node] = printable(str(error))
    silent = "no reply" if timeout_s is None else f"no reply within {timeout_s:g} s"
    refusals = [Refusal(node, reasons.get(node, silent)) for node in nodes if node not in answers]
    return [answers[node] for node in nodes if node in answers], refusals
