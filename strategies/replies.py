"""Read what participants sent, and refuse what cannot be used: one bad reply costs its sender."""

import re
from collections.abc import Set
from typing import Any, NamedTuple

import numpy as np
from flwr.app import Array, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedtrade.secure.wire import REFUSED, ROUND
from fedtrade.wire import ARMS, ARRAYS, CONFIG, LOSS, METRICS, N_EXAMPLES, UPDATE

__all__ = [
    "LocalResult",
    "Refusal",
    "is_refused",
    "plain_reason",
    "read_arms",
    "read_arrays",
    "read_update",
    "refused",
]

MOST_EXAMPLES = 2**53
"""Numbers of examples below it are exact as weights."""

LARGEST_PARAMETER_CHANGE = 1e6
"""No local training moves a parameter further: features and losses are of order one."""

LARGEST_LOSS = 1e12
"""A reported loss beyond it is made up, and would drown the others in the mean."""

LONGEST_HEADER = 4096
"""Bytes of an update beyond those of its values; what NumPy writes before them is about 128."""

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


def refused(party: str, round_number: int, reason: str) -> dict[str, str | int]:
    """Fields of a log record that tells of a refusal."""
    return {"event": "refused", "party": party, "round": round_number, "reason": reason}


def plain_reason(reason: str) -> str:
    """What an error reply says, without the way in which Flower writes exceptions.

    Our own errors are sentences and stand alone; others keep the name of their class.
    """
    written = _EXCEPTION.fullmatch(reason)
    if written is None:
        return reason
    module, name, text = written.groups()
    return text if module == "fedtrade.errors" else f"{name}: {text}"


def is_refused(reply: Message) -> bool:
    """Whether a member of a private sum answers that it cannot give its part."""
    return reply.has_content() and REFUSED in reply.content.config_records.get(
        ROUND, ConfigRecord()
    )


def read_arms(reply: Message) -> tuple[str, ...]:
    """The arms that a reply says its scores are of; none in a reply that has no scores."""
    arms: Any = reply.content.config_records.get(CONFIG, ConfigRecord()).get(ARMS)
    is_usable = isinstance(arms, list) and all(isinstance(arm, str) for arm in arms)
    return tuple(arms) if is_usable else ()


def read_arrays(message: Message) -> dict[str, NDArray[np.generic]]:
    """The arrays of a reply by name.

    Raises
    ------
    ValueError
        If the reply is an error, has no arrays, or one of them cannot be decoded.
    """
    records = _content(message).array_records
    if ARRAYS not in records:
        raise ValueError(f"the reply has no {ARRAYS!r}")
    return {name: _decoded(array) for name, array in records[ARRAYS].items()}


def _content(message: Message) -> RecordDict:
    if message.has_error():
        raise ValueError(plain_reason(message.error.reason or f"error {message.error.code}"))
    if not message.has_content():
        raise ValueError("the reply is empty")
    return message.content


def _decoded(array: Array) -> NDArray[np.generic]:
    try:
        values = array.numpy()
    except Exception as error:  # bytes from elsewhere: whatever a decoder raises is the sender's
        raise ValueError(f"an array cannot be decoded: {error}") from error
    if not isinstance(values, np.ndarray):  # NumPy's loader also opens archives
        raise ValueError(
            f"an array cannot be decoded: the bytes are of type {type(values).__name__}"
        )
    return values


def read_update(message: Message, n_values: int) -> LocalResult:
    """Check a reply to a training message: it holds what was asked for, and nothing else.

    Parameters
    ----------
    n_values : int
        Length of the update that was asked for.

    Raises
    ------
    ValueError
        If it is an error, records, arrays or metrics are missing or too many, or one of them has
        another type, shape or a value that cannot be.
    """
    content = _content(message)
    _check_names("record", set(content), {ARRAYS, METRICS}, {CONFIG})
    values = _read_values(content, n_values)
    metrics = content[METRICS]
    if not isinstance(metrics, MetricRecord):
        raise ValueError(f"the record {METRICS!r} is of type {type(metrics).__name__}")
    _check_names("metric", set(metrics), {N_EXAMPLES, LOSS})
    config = content.get(CONFIG, ConfigRecord())
    if not isinstance(config, ConfigRecord) or len(config):
        raise ValueError(f"the record {CONFIG!r} must be empty")
    n_examples, loss = metrics[N_EXAMPLES], metrics[LOSS]
    if not isinstance(n_examples, int) or not 0 <= n_examples < MOST_EXAMPLES:
        raise ValueError(f"num-examples must be a whole number, not negative; got {n_examples!r}")
    if not isinstance(loss, float) or not np.isfinite(loss):
        raise ValueError(f"loss must be a finite number, got {loss!r}")
    if abs(loss) > LARGEST_LOSS:
        raise ValueError(f"the loss is absurd: {loss:.3g}")
    return LocalResult(message.metadata.src_node_id, values, n_examples, float(loss))


def _check_names(
    kind: str, found: Set[str], wanted: Set[str], optional: Set[str] = frozenset()
) -> None:
    """Raise a ValueError that names what is missing or too much."""
    if missing := sorted(wanted - found):
        raise ValueError(f"the reply has no {kind} {missing[0]!r}")
    if extra := sorted(found - wanted - optional):
        raise ValueError(f"nobody asked for the {kind} {extra[0][:64]!r} in the reply")


def _read_values(content: RecordDict, n_values: int) -> NDArray[np.float32]:
    """The update, of float32 and shape (n_values,), every value finite and believable."""
    arrays = content.array_records.get(ARRAYS)
    if arrays is None:
        raise ValueError(f"the record {ARRAYS!r} is of type {type(content[ARRAYS]).__name__}")
    _check_names("array", set(arrays), {UPDATE})
    if len(arrays[UPDATE].data) > 4 * n_values + LONGEST_HEADER:
        raise ValueError(
            f"the update must be float32 of shape ({n_values},), "
            f"got {len(arrays[UPDATE].data)} bytes"
        )
    values = _decoded(arrays[UPDATE])
    if values.shape != (n_values,) or values.dtype != np.float32:
        raise ValueError(
            f"the update must be float32 of shape ({n_values},), "
            f"got {values.dtype} of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("the update has values that are not finite")
    update = values.astype(np.float32, copy=False)
    largest = float(np.abs(update).max(initial=0.0))
    if largest > LARGEST_PARAMETER_CHANGE:
        raise ValueError(
            f"the update is absurd: it changes a parameter by {largest:.3g}, "
            f"and {LARGEST_PARAMETER_CHANGE:g} is the most that is believed"
        )
    return update
