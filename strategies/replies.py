"""Read what participants sent, and refuse what cannot be used: one bad reply costs its sender."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedtrade.wire import ARRAYS, METRICS, UPDATE

__all__ = ["LocalResult", "Refusal", "plain_reason", "read_arrays", "read_update", "read_updates"]

MOST_EXAMPLES = 2**53
"""Numbers of examples below it are exact as weights."""

LARGEST_PARAMETER_CHANGE = 1e6
"""No local training moves a parameter further: features and losses are of order one."""

LARGEST_LOSS = 1e12
"""A reported loss beyond it is made up, and would drown the others in the mean."""

_EXCEPTION = re.compile(r"<class '(?:([\w.]+)\.)?(\w+)'>:<'(.*)'>", re.DOTALL)


class Refusal(NamedTuple):
    """A node without a usable reply, and why."""

    node_id: int
    reason: str


class LocalResult(NamedTuple):
    """A usable reply to a training message."""

    node_id: int
    update: NDArray[np.float32]
    n_examples: int
    loss: float


def plain_reason(reason: str) -> str:
    """What an error reply says, without the way in which Flower writes exceptions.

    Our own errors are sentences and stand alone; others keep the name of their class.
    """
    written = _EXCEPTION.fullmatch(reason)
    if written is None:
        return reason
    module, name, text = written.groups()
    return text if module == "fedtrade.errors" else f"{name}: {text}"


def read_arrays(message: Message) -> dict[str, NDArray[np.generic]]:
    """The arrays of a reply by name.

    Raises
    ------
    ValueError
        If the reply is an error, has no arrays, or one of them cannot be decoded.
    """
    if message.has_error():
        raise ValueError(plain_reason(message.error.reason or f"error {message.error.code}"))
    records = message.content.array_records
    if ARRAYS not in records:
        raise ValueError(f"the reply has no {ARRAYS!r}")
    try:
        return {name: array.numpy() for name, array in records[ARRAYS].items()}
    except Exception as error:  # bytes from elsewhere: whatever a decoder raises is the sender's
        raise ValueError(f"an array cannot be decoded: {error}") from error


def read_update(message: Message, n_params: int) -> LocalResult:
    """Check a reply to a training message.

    Raises
    ------
    ValueError
        If it is an error, or the update's shape, type or values, or the metrics, are impossible.
    """
    update = read_arrays(message).get(UPDATE)
    if update is None or update.shape != (n_params,) or update.dtype.kind != "f":
        found = "none" if update is None else f"{update.dtype} of shape {update.shape}"
        raise ValueError(f"the update must be float32 of shape ({n_params},), got {found}")
    with np.errstate(over="ignore"):
        values = update.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the update has values that are not finite")
    largest = float(np.abs(values).max(initial=0.0))
    if largest > LARGEST_PARAMETER_CHANGE:
        raise ValueError(
            f"the update is absurd: it changes a parameter by {largest:.3g}, "
            f"and {LARGEST_PARAMETER_CHANGE:g} is the most that is believed"
        )
    metrics: Mapping[str, object] = message.content.metric_records.get(METRICS) or {}
    n_examples, loss = metrics.get("num-examples"), metrics.get("loss")
    if not isinstance(n_examples, int) or not 0 <= n_examples < MOST_EXAMPLES:
        raise ValueError(f"num-examples must be a whole number, not negative; got {n_examples!r}")
    if not isinstance(loss, float) or not np.isfinite(loss):
        raise ValueError(f"loss must be a finite number, got {loss!r}")
    if abs(loss) > LARGEST_LOSS:
        raise ValueError(f"the loss is absurd: {loss:.3g}")
    return LocalResult(message.metadata.src_node_id, values, n_examples, float(loss))


def read_updates(
    replies: Iterable[Message], n_params: int
) -> tuple[list[LocalResult], list[Refusal]]:
    """Sort replies to training messages into usable ones and refusals, by node.

    Of several replies of one node the first usable one counts.
    """
    results: dict[int, LocalResult] = {}
    refusals: list[Refusal] = []
    for reply in replies:
        node = reply.metadata.src_node_id
        try:
            result = read_update(reply, n_params)
            if node in results:
                raise ValueError("the node answered more than once")
        except ValueError as error:
            refusals.append(Refusal(node, str(error)))
        else:
            results[node] = result
    return [results[node] for node in sorted(results)], refusals
