"""Malformed replies: everything that a careless or hostile client could send instead of a reply.

Each kind of damage is a function of a reply's content, in `KINDS` by name; the tests of whatever
reads replies go through them too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from simulations.attacks.attack import ReplyAttack
from simulations.records import copy_message, copy_metadata

__all__ = ["KINDS", "Malformed"]

Damage: TypeAlias = Callable[[RecordDict], None]
"""Changes a content in place."""

_ABSURD = 10**12
_N_EXAMPLES, _LOSS, _ROUND = "num-examples", "loss", "server-round"


def _values(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Damage:
    """Change the values of every array."""

    def damage(content: RecordDict) -> None:
        for record in content.array_records.values():
            for key, array in list(record.items()):
                with np.errstate(all="ignore"):
                    record[key] = Array(np.asarray(change(array.numpy())))

    return damage


def _buffer(change: Callable[[Array], Array]) -> Damage:
    """Change every array as it is sent, so that it may not be readable."""

    def damage(content: RecordDict) -> None:
        for record in content.array_records.values():
            for key, array in list(record.items()):
                record[key] = change(array)

    return damage


def _entries(change: Callable[[ArrayRecord], None]) -> Damage:
    """Change which arrays there are."""

    def damage(content: RecordDict) -> None:
        for record in content.array_records.values():
            change(record)

    return damage


def _metric(name: str, value: float | list[float] | list[int] | None) -> Damage:
    """Set a metric; None leaves it out."""

    def damage(content: RecordDict) -> None:
        for record in content.metric_records.values():
            record.pop(name, None)
            if value is not None:
                record[name] = value

    return damage


def _records(change: Callable[[RecordDict], None]) -> Damage:
    return change


def _without(kind: type[ArrayRecord] | type[MetricRecord] | type[ConfigRecord]) -> Damage:
    """Leave out all records of a kind."""

    def damage(content: RecordDict) -> None:
        for name in [name for name, record in content.items() if isinstance(record, kind)]:
            del content[name]

    return damage


def _spiked(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The first entry of an array becomes `value`."""

    def change(values: NDArray[Any]) -> NDArray[Any]:
        spiked = values.astype(np.float32)
        spiked.reshape(-1)[:1] = value
        return spiked

    return change


def _filled(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda values: np.full(values.shape, value, dtype=np.float32)


def _rename(record: ArrayRecord) -> None:
    for key in list(record):
        record[f"{key}-of-mine"] = record.pop(key)


def _add(record: ArrayRecord) -> None:
    record["extra"] = Array(np.zeros(3, dtype=np.float32))


def _swap_kinds(content: RecordDict) -> None:
    """Numbers where arrays belong, and the other way round."""
    for name, record in list(content.items()):
        if isinstance(record, ArrayRecord):
            content[name] = MetricRecord({"values": [0.0]})
        elif isinstance(record, MetricRecord):
            content[name] = ArrayRecord({"values": Array(np.zeros(1, dtype=np.float32))})


def _rename_records(content: RecordDict) -> None:
    for name in list(content):
        content[f"{name}-of-mine"] = content.pop(name)


def _add_records(content: RecordDict) -> None:
    content["extra-arrays"] = ArrayRecord({"extra": Array(np.zeros(3, dtype=np.float32))})
    content["extra-metrics"] = MetricRecord({"extra": 1.0})
    content["extra-config"] = ConfigRecord({"extra": "x" * 1000})


def _add_metrics(content: RecordDict) -> None:
    for record in content.metric_records.values():
        record["extra"] = [1.0, 2.0]
        record["extra-number"] = 1


def _from_another_round(content: RecordDict) -> None:
    """Claim to belong to an earlier round, wherever a round is named, and in the metrics."""
    for record in content.values():
        if isinstance(record, MetricRecord | ConfigRecord):
            record[_ROUND] = -1


def _with_buffer(array: Array, data: bytes) -> Array:
    return Array(dtype=array.dtype, shape=tuple(array.shape), stype=array.stype, data=data)


def _pickled(array: Array) -> Array:
    """An array of Python objects, which only `pickle` can read."""
    buffer = BytesIO()
    np.save(buffer, np.array([{}, None], dtype=object), allow_pickle=True)
    return _with_buffer(array, buffer.getvalue())


def _mislabelled(array: Array) -> Array:
    return Array(dtype="int8", shape=(1, 2, 3), stype=array.stype, data=array.data)


def _in_another_format(array: Array) -> Array:
    return Array(dtype=array.dtype, shape=tuple(array.shape), stype="my.format", data=array.data)


def _as_type(dtype: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda values: values.astype(dtype)


KINDS: Mapping[str, Damage] = {
    # values
    "a NaN": _values(_spiked(np.nan)),
    "an infinity": _values(_spiked(np.inf)),
    "a huge entry": _values(_spiked(3e38)),
    "all NaN": _values(_filled(np.nan)),
    "all huge": _values(_filled(-3e38)),
    "all large": _values(_filled(1e5)),
    "denormal values": _values(_filled(1e-42)),
    # shapes
    "one entry more": _values(lambda values: np.append(values, values.dtype.type(0))),
    "one entry less": _values(lambda values: values.reshape(-1)[:-1]),
    "no entry": _values(lambda values: values.reshape(-1)[:0]),
    "one axis more": _values(lambda values: values[None]),
    "a column": _values(lambda values: values.reshape(-1, 1)),
    "a number": _values(lambda values: np.array(0.0, dtype=np.float32)),
    "many axes": _values(lambda values: np.zeros((1,) * 30, dtype=np.float32)),
    # types
    "float64": _values(_as_type("f8")),
    "float64 beyond float32": _values(lambda values: np.full(values.shape, 1e300)),
    "float16": _values(_as_type("f2")),
    "big-endian": _values(_as_type(">f4")),
    "integers": _values(lambda values: np.ones(values.shape, dtype=np.int32)),
    "complex": _values(_as_type("c8")),
    "booleans": _values(lambda values: np.ones(values.shape, dtype=np.bool_)),
    "texts": _values(lambda values: np.full(values.shape, "1.0")),
    "times": _values(lambda values: np.full(values.shape, np.datetime64("2000-01-01", "s"))),
    "named fields": _values(lambda values: np.zeros(values.shape, dtype=[("a", "f4")])),
    # buffers
    "pickled objects": _buffer(_pickled),
    "a truncated buffer": _buffer(lambda array: _with_buffer(array, array.data[:-3])),
    "half a header": _buffer(lambda array: _with_buffer(array, array.data[:20])),
    "an empty buffer": _buffer(lambda array: _with_buffer(array, b"")),
    "random bytes": _buffer(lambda array: _with_buffer(array, bytes(range(256)))),
    "bytes left over": _buffer(lambda array: _with_buffer(array, array.data + b"\0" * 99)),
    "another format": _buffer(_in_another_format),
    "a wrong label": _buffer(_mislabelled),
    # arrays
    "renamed arrays": _entries(_rename),
    "an extra array": _entries(_add),
    "no array": _entries(lambda record: record.clear()),
    # metrics
    "1e12 examples": _metric(_N_EXAMPLES, _ABSURD),
    "1e18 examples": _metric(_N_EXAMPLES, 10**18),
    "negative examples": _metric(_N_EXAMPLES, -70),
    "zero examples": _metric(_N_EXAMPLES, 0),
    "half an example": _metric(_N_EXAMPLES, 0.5),
    "NaN examples": _metric(_N_EXAMPLES, float("nan")),
    "infinite examples": _metric(_N_EXAMPLES, float("inf")),
    "a list of examples": _metric(_N_EXAMPLES, [1, 2]),
    "no number of examples": _metric(_N_EXAMPLES, None),
    "a NaN loss": _metric(_LOSS, float("nan")),
    "an infinite loss": _metric(_LOSS, float("-inf")),
    "a huge loss": _metric(_LOSS, 1e300),
    "an integer loss": _metric(_LOSS, 7),
    "a list of losses": _metric(_LOSS, [0.5, 0.5]),
    "no loss": _metric(_LOSS, None),
    "extra metrics": _records(_add_metrics),
    "another round": _records(_from_another_round),
    # records
    "no arrays record": _without(ArrayRecord),
    "no metrics record": _without(MetricRecord),
    "no config record": _without(ConfigRecord),
    "no record": _records(lambda content: content.clear()),
    "extra records": _records(_add_records),
    "renamed records": _records(_rename_records),
    "swapped records": _records(_swap_kinds),
}
"""Kinds of damage by name; not all of them make a reply unusable."""

AN_ERROR = "an error"
ANOTHER_GROUP = "another group"
ALL_KINDS = (*KINDS, AN_ERROR, ANOTHER_GROUP)


@dataclass(frozen=True, kw_only=True)
class Malformed(ReplyAttack):
    """Each liar's reply is damaged in a way that is drawn anew in every round.

    Parameters
    ----------
    kinds : sequence of str or None
        Which of `KINDS`, "an error" (instead of content) and "another group" (the group id of a
        round before, as if the reply came late); None takes all.
    copies : int
        How often a liar's reply arrives, at least 1.
    """

    kinds: Sequence[str] | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [kind for kind in self.kinds or () if kind not in ALL_KINDS]
        if unknown or (self.kinds is not None and not self.kinds):
            named = repr(unknown[0]) if unknown else "none"
            raise ValueError(f"kinds must be of {', '.join(ALL_KINDS)}; got {named}.")
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}.")

    def tamper(self, reply: Message, rng: np.random.Generator) -> Message:
        """See the class."""
        kinds = self.kinds or ALL_KINDS
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind == AN_ERROR:
            error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "no reason at all")
            return make_message(copy_metadata(reply.metadata), error=error)
        damaged = copy_message(reply)
        if kind == ANOTHER_GROUP:
            damaged.metadata.__dict__["_group_id"] = "a round before"
        else:
            KINDS[kind](damaged.content)
        return damaged
