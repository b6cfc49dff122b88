"""The update in a reply to a training message, whatever records carry it.

Two layouts are known. Ours: the message has an array `vector`, the reply an array `update`, the
change of it. Flower's: the reply has the arrays of the message's, trained; the update is their
difference, flattened and joined in the order of the names in the message. Only floating-point
arrays count there; others, such as counters, stay as the participant sent them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray

from fedtrade.wire import ARRAYS, UPDATE, VECTOR
from simulations.records import copy_records

__all__ = ["SentModel"]

_FloatArrays = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class SentModel:
    """The global model in a training message.

    Attributes
    ----------
    record : str
        The name of its array record.
    arrays : mapping of str to floating-point array
    """

    record: str
    arrays: _FloatArrays

    @classmethod
    def of(cls, content: RecordDict) -> "SentModel":
        """Read it from a message.

        Raises
        ------
        ValueError
            If the message has no array record.
        """
        records = content.array_records
        if not records:
            raise ValueError("a training message without an array record has no model to attack.")
        name = ARRAYS if ARRAYS in records else next(iter(records))
        arrays = {key: array.numpy() for key, array in records[name].items()}
        if VECTOR in arrays:
            arrays = {VECTOR: arrays[VECTOR]}
        return cls(name, {key: a for key, a in arrays.items() if a.dtype.kind == "f"})

    @property
    def vector(self) -> NDArray[np.float32]:
        """The global vector, shape (n,)."""
        return _joined(list(self.arrays.values()))

    def update_of(self, reply: RecordDict) -> NDArray[np.float32]:
        """The update in a reply, shape (n_params,).

        Raises
        ------
        ValueError
            If it cannot be read.
        """
        record = self._record_of(reply)
        try:
            if UPDATE in record:
                return _joined([record[UPDATE].numpy()])
            given = [record[key].numpy() for key in self.arrays]
        except Exception as error:  # bytes from elsewhere: whatever a decoder raises
            raise ValueError(f"an array cannot be read: {error}") from error
        sent = list(self.arrays.values())
        if [a.shape for a in given] != [a.shape for a in sent]:
            raise ValueError("the reply's arrays have other shapes than the message's")
        return _joined([g.astype(np.float64) - s for g, s in zip(given, sent, strict=True)])

    def with_update(self, reply: RecordDict, update: NDArray[np.float32]) -> RecordDict:
        """A copy of a readable reply that carries another update (n_params,)."""
        changed = copy_records(reply)
        record = self._record_of(changed)
        if UPDATE in record:
            own = record[UPDATE].numpy()
            record[UPDATE] = Array(update.reshape(own.shape).astype(own.dtype))
            return changed
        start = 0
        for key, sent in self.arrays.items():
            part = update[start : start + sent.size].reshape(sent.shape)
            with np.errstate(over="ignore", invalid="ignore"):
                trained = (sent.astype(np.float64) + part).astype(record[key].numpy().dtype)
            record[key] = Array(np.asarray(trained))
            start += sent.size
        return changed

    def _record_of(self, reply: RecordDict) -> ArrayRecord:
        records = reply.array_records
        if self.record in records:
            return records[self.record]
        for record in records.values():
            if UPDATE in record or set(self.arrays) <= set(record):
                return record
        raise ValueError("the reply has no record of arrays like the message's")


def _joined(arrays: list[NDArray[np.floating]]) -> NDArray[np.float32]:
    if any(array.dtype.kind != "f" for array in arrays):
        raise ValueError("an array does not hold floating-point numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [array.astype(np.float32).reshape(-1) for array in arrays]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
