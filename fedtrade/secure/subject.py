"""What a sum is a sum of, as a hash on which its masks and pads depend.

A server that asks one member for its update and the others for parts that it knows, zeros say,
under the masks of one sum would read that update in the total. Or it gives a member another model
than the others (Pasquini, Francati and Ateniese 2022, "Eluding secure aggregation in federated
learning via model inconsistency", https://arxiv.org/abs/2111.07380). So each party hashes what it
was asked, and in which words it answers: the masks of members that were asked different things do
not cancel, and their sum is not opened.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from fedtrade.secure.layout import Layout

__all__ = ["NO_SUBJECT", "SUBJECT_BYTES", "asked_subject", "subject_of"]

SUBJECT_BYTES: Final = 32

NO_SUBJECT: Final = bytes(SUBJECT_BYTES)
"""Of sums outside of any question, whose members know by other means what they add up."""

DOMAIN: Final = b"fedtrade subject of a sum 2"
OWN: Final = "secure."
"""How records begin that are for a member alone: stages, and who is in the sum."""


class SentContent(Protocol):
    """Records as they are sent, by name and key; arrays with `dtype, shape, stype, data`."""

    @property
    def array_records(self) -> Mapping[str, Any]:
        """Of arrays."""

    @property
    def config_records(self) -> Mapping[str, Any]:
        """Of settings."""

    @property
    def metric_records(self) -> Mapping[str, Any]:
        """Of numbers."""


def asked_subject(kind: str, content: SentContent) -> bytes:
    """A hash of 32 bytes of all that a message asks, but for what is its receiver's alone.

    The server makes it of what it sends, and each member of what it gets. The order of arrays is
    part of it: a member that scored the same models in another order would put its own scores of
    one into the place of the others' of another.

    Parameters
    ----------
    kind : str
        Type of the message.
    content : SentContent
        Of the message.
    """
    found = hashlib.sha256(DOMAIN)
    for part in _parts(kind, content):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


def subject_of(asked: bytes, layout: Layout) -> bytes:
    """With the words in which it is answered: their number, ring and steps, 32 bytes."""
    words = json.dumps(layout.to_fields(), sort_keys=True, default=int).encode()
    return hashlib.sha256(DOMAIN + asked + words).digest()


def _parts(kind: str, content: SentContent) -> Iterator[bytes]:
    arrays = content.array_records
    values = {**content.config_records, **content.metric_records}
    yield kind.encode()
    for name in sorted(arrays):
        for key in arrays[name]:  # in their order, in which models are scored
            sent = arrays[name][key]
            shape = [int(n) for n in sent.shape]
            yield json.dumps([name, key, sent.dtype, shape, sent.stype]).encode()
            yield sent.data
    for name in sorted(values):
        if not name.startswith(OWN):
            for key in sorted(values[name]):
                yield json.dumps([name, key, _plain(values[name][key])]).encode()


def _plain(value: Any) -> Any:
    """A value that JSON tells from any other."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
