"""Copies of Flower's records, messages and contexts, as cheap as their structure allows.

A real federation serialises whatever crosses from one node to another, so nobody can change what
somebody else holds. In one process the same promise needs a copy. `copy.deepcopy` keeps it at
about 0.1 ms a message and Flower's own constructors check every entry again; the copies here
rebuild only the mutable containers and share what cannot change: keys, numbers, strings and the
bytes of arrays. Caches that Flower keeps inside a record (object ids, chunks) are left behind.
"""

from collections.abc import ItemsView
from typing import Any, TypeVar

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    Metadata,
    MetricRecord,
    RecordDict,
)
from flwr.supercore.inflatable.inflatable_object import InflatableObject

__all__ = ["copy_context", "copy_message", "copy_metadata", "copy_once", "copy_records"]

_Record = TypeVar("_Record", RecordDict, ArrayRecord, MetricRecord, ConfigRecord)

# What the constructor of an empty record leaves in its instance (its two checking functions).
_EMPTY: dict[type[Any], dict[str, Any]] = {
    kind: dict(kind().__dict__) for kind in (RecordDict, ArrayRecord, MetricRecord, ConfigRecord)
}


def _record(kind: type[_Record], data: dict[str, Any]) -> _Record:
    """A record of `kind` that owns `data`, whose entries some record has checked before."""
    record = kind.__new__(kind)
    record.__dict__ = {**_EMPTY[kind], "_data": data}
    return record


def _copy_array(array: Array) -> Array:
    """An array that shares its (immutable) bytes with `array`."""
    data = array.data
    attributes = {
        "dtype": array.dtype,
        "shape": tuple(array.shape),
        "stype": array.stype,
        # An app may have assigned another buffer, which could change later.
        "data": data if type(data) is bytes else bytes(memoryview(data)),
    }
    copy = Array.__new__(Array)
    object.__setattr__(copy, "__dict__", attributes)  # Array's own would mark it as changed
    return copy


def _copy_record(record: object) -> ArrayRecord | MetricRecord | ConfigRecord:
    if isinstance(record, ArrayRecord):
        return _record(ArrayRecord, {key: _copy_array(array) for key, array in _items(record)})
    if isinstance(record, MetricRecord):
        return _record(MetricRecord, _copy_values(record))
    if isinstance(record, ConfigRecord):
        return _record(ConfigRecord, _copy_values(record))
    raise TypeError(f"a record must be an Array-, Metric- or ConfigRecord, got {type(record)}")


def _copy_values(record: MetricRecord | ConfigRecord) -> dict[str, Any]:
    """The entries of a metric or config record; only lists among them can change."""
    return {
        key: value.copy() if isinstance(value, list) else value for key, value in _items(record)
    }


def _items(record: InflatableObject) -> ItemsView[str, Any]:
    """The entries of a record, read past the layers of `TypedDict`."""
    data: dict[str, Any] = record.__dict__["_data"]
    return data.items()


def copy_records(records: RecordDict) -> RecordDict:
    """Copy a record dictionary so that no change in the copy shows in the original.

    Raises
    ------
    TypeError
        If `records` is not a `RecordDict` or holds something that is not a record.
    """
    if not isinstance(records, RecordDict):
        raise TypeError(f"expected a RecordDict, got {type(records)}")
    return _record(RecordDict, {key: _copy_record(record) for key, record in _items(records)})


def copy_once(records: RecordDict, copies: dict[int, RecordDict] | None) -> RecordDict:
    """Copy a record dictionary, or find its earlier copy in `copies` (None: always copy).

    `copies` is keyed by identity, so the originals must outlive it.
    """
    if copies is None:
        return copy_records(records)
    known = copies.get(id(records))
    if known is None:
        known = copies[id(records)] = copy_records(records)
    return known


def copy_metadata(metadata: Metadata) -> Metadata:
    """Copy the metadata of a message."""
    copy = Metadata.__new__(Metadata)
    copy.__dict__ = metadata.__dict__.copy()
    return copy


def copy_message(message: Message) -> Message:
    """Copy a message with its metadata and its content or error.

    Raises
    ------
    TypeError
        If the content is not a `RecordDict` of records.
    """
    parts = message.__dict__
    content, error = parts["_content"], parts["_error"]
    copy = Message.__new__(Message)
    copy.__dict__ = {
        "_metadata": copy_metadata(parts["_metadata"]),
        "_content": None if content is None else copy_records(content),
        "_error": None if error is None else Error(error.code, error.reason),
    }
    return copy


def copy_context(context: Context) -> Context:
    """Copy a context with its state and both configurations.

    Raises
    ------
    TypeError
        If the state is not a `RecordDict` of records.
    """
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=dict(context.node_config),
        state=copy_records(context.state),
        run_config=dict(context.run_config),
        series_id=context.series_id,
    )
