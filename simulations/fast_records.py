"""Slow paths of Flower's records, replaced for the length of a `with` block.

Aggregating the replies of a thousand participants takes Flower's FedAvg about 0.2 ms a reply, most
of which is not arithmetic:

- `Array.numpy` parses the text header of the `.npy` format each time (`ast.literal_eval`), though
  the arrays of one model share a handful of headers;
- `RecordDict.array_records`, `.metric_records` and `.config_records` build their view by assigning
  every record to the view, which assigns it back to the dictionary it came from, with four type
  checks on the way;
- every access to a typed dictionary builds the type it hands to `typing.cast`.

The replacements return what the originals return; whatever they are not sure of (a subclass,
another format version, a truncated buffer, objects) goes to the original. The block changes
attributes of Flower's classes, so it is the one place in the house that does.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.message.recorddict import _check_key, _SyncedDict
from flwr.app.message.typeddict import TypedDict
from flwr.common.constant import SType
from numpy.typing import NDArray

__all__ = ["fast_records"]

_MAGIC_1_0 = b"\x93NUMPY\x01\x00"
_HEADER_START = 10  # six bytes of magic, two of version, two of header length
_PLAIN_KINDS = frozenset("biufc")

_original_numpy = Array.numpy
_one_parser = threading.Lock()

Header = tuple[tuple[int, ...], bool, np.dtype[Any], int]


@lru_cache(maxsize=1024)
def _parse_header(header: bytes) -> Header | None:
    """Shape, Fortran order, dtype and number of elements; None leaves the array to Flower.

    One thread at a time: Python 3.11 counts the depth of the syntax trees that threads build in
    one place, and now and then ends one in a `SystemError` (python/cpython#106905).
    """
    try:
        with _one_parser:
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(BytesIO(header))
    except ValueError:
        return None
    n_elements = int(np.prod(shape, dtype=np.int64))
    if dtype.kind not in _PLAIN_KINDS or dtype.fields is not None or n_elements < 1:
        return None
    return shape, fortran_order, dtype, n_elements


def _numpy_of_flower(array: Array) -> NDArray[Any]:
    with _one_parser:
        return _original_numpy(array)


def _numpy(self: Array) -> NDArray[Any]:
    """Return the array as a NumPy array."""
    data = self.data
    if self.stype != SType.NUMPY or type(data) is not bytes or data[:8] != _MAGIC_1_0:
        return _numpy_of_flower(self)
    body = _HEADER_START + int.from_bytes(data[8:_HEADER_START], "little")
    header = _parse_header(data[8:body])
    if header is None or len(data) - body < header[3] * header[2].itemsize:
        return _numpy_of_flower(self)
    shape, fortran_order, dtype, n_elements = header
    # A writable array of its own, as np.load returns.
    flat = np.frombuffer(data, dtype=dtype, count=n_elements, offset=body).copy()
    if fortran_order:
        return flat.reshape(shape[::-1]).transpose()
    return flat.reshape(shape)


def _make_view(kind: type[Any], original: property) -> property:
    """The property of `RecordDict` that shows its records of one kind."""
    alias = _SyncedDict[kind]  # type: ignore[valid-type]
    # A view's own check compares with its `allowed_type`; one that belongs to no dictionary serves
    # all views of the kind and spares each of them a reference cycle.
    check_value = _SyncedDict(RecordDict(), kind).check_value

    def view(self: RecordDict) -> _SyncedDict[Any]:
        if type(self) is not RecordDict:
            return original.__get__(self)  # type: ignore[no-any-return]
        synced = _SyncedDict.__new__(_SyncedDict)
        synced.__dict__.update(
            _check_key_fn=_check_key,
            _check_value_fn=check_value,
            _data={
                key: record
                for key, record in self.__dict__["_data"].items()
                if isinstance(record, kind)
            },
            recorddict=self,
            allowed_type=kind,
            __orig_class__=alias,
        )
        return synced

    return property(view, doc=original.__doc__)


def _set_item(self: TypedDict[Any, Any], key: Any, value: Any) -> None:
    """Set the given key to the given value after type checking."""
    attributes = self.__dict__
    attributes["_check_key_fn"](key)
    attributes["_check_value_fn"](value)
    attributes["_data"][key] = value


def _get_item(self: TypedDict[Any, Any], item: Any) -> Any:
    """Return the value for the specified key."""
    return self.__dict__["_data"][item]


def _items(self: TypedDict[Any, Any]) -> Any:
    """D.items() -> a set-like object providing a view on D's items."""
    return self.__dict__["_data"].items()


def _values(self: TypedDict[Any, Any]) -> Any:
    """D.values() -> an object providing a view on D's values."""
    return self.__dict__["_data"].values()


def _keys(self: TypedDict[Any, Any]) -> Any:
    """D.keys() -> a set-like object providing a view on D's keys."""
    return self.__dict__["_data"].keys()


_ACCESS: dict[str, Callable[..., Any]] = {
    "__setitem__": _set_item,
    "__getitem__": _get_item,
    "items": _items,
    "values": _values,
    "keys": _keys,
}


def _replacements() -> list[tuple[type[Any], str, Any, Any]]:
    """`(class, attribute, original, replacement)` of everything the block changes."""
    views = {
        "array_records": ArrayRecord,
        "metric_records": MetricRecord,
        "config_records": ConfigRecord,
    }
    swaps: list[tuple[type[Any], str, Any, Any]] = [(Array, "numpy", _original_numpy, _numpy)]
    swaps += [(TypedDict, name, TypedDict.__dict__[name], new) for name, new in _ACCESS.items()]
    for name, kind in views.items():
        original = RecordDict.__dict__[name]
        swaps.append((RecordDict, name, original, _make_view(kind, original)))
    return swaps


class _Depth:
    """How many blocks are open; the first one swaps, the last one swaps back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._swaps = _replacements()
        self._n_open = 0

    def enter(self) -> None:
        with self._lock:
            if self._n_open == 0:
                self._set(lambda original, replacement: replacement)
            self._n_open += 1

    def leave(self) -> None:
        with self._lock:
            self._n_open -= 1
            if self._n_open == 0:
                self._set(lambda original, replacement: original)

    def _set(self, choose: Callable[[Any, Any], Any]) -> None:
        for owner, name, original, replacement in self._swaps:
            setattr(owner, name, choose(original, replacement))


_depth = _Depth()


@contextmanager
def fast_records() -> Iterator[None]:
    """Read Flower's records quickly inside the block; blocks may nest and overlap in threads."""
    _depth.enter()
    try:
        yield
    finally:
        _depth.leave()
