"""Ask several nodes the same thing and read their answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.wire import ARRAYS, CONFIG
from strategies.replies import Refusal, printable, read_arrays

__all__ = ["Answer", "array_record", "ask"]


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
) -> tuple[list[Answer], list[Refusal]]:
    """Send one message to every node; answers come in the order of the nodes.

    A node that does not answer in time, answers with an error or with arrays that cannot be
    decoded is among the refusals.
    """
    content = RecordDict({ARRAYS: array_record(arrays), CONFIG: ConfigRecord(dict(config))})
    messages = [Message(content, node, message_type, ttl=timeout_s) for node in nodes]
    answers: dict[int, Answer] = {}
    reasons: dict[int, str] = {}
    for reply in grid.send_and_receive(messages, timeout=timeout_s):
        node = reply.metadata.src_node_id
        try:
            answers[node] = Answer(node, reply, read_arrays(reply))
        except ValueError as error:
            reasons[node] = printable(str(error))
    silent = f"no reply within {timeout_s:g} s"
    refusals = [Refusal(node, reasons.get(node, silent)) for node in nodes if node not in answers]
    return [answers[node] for node in nodes if node in answers], refusals
