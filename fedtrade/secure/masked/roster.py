"""The participants of a run and their public identity keys."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError
from fedtrade.secure.masked.keys import KEY_BYTES
from fedtrade.secure.masked.packing import MAX_NUMBER, are_among

__all__ = ["Roster"]


class Roster(Mapping[int, bytes]):
    """Public identity keys by participant's number; many members can use the same object.

    Parameters
    ----------
    identities : mapping of int to 32 bytes

    Raises
    ------
    ProtocolError
        If a number or key cannot be one, or two participants have the same key.
    """

    def __init__(self, identities: Mapping[int, bytes]) -> None:
        for number, key in identities.items():
            if not 0 <= number <= MAX_NUMBER:
                raise ProtocolError(f"a participant's number must be 0 to {MAX_NUMBER}: {number}.")
            if len(key) != KEY_BYTES:
                raise ProtocolError(
                    f"the identity key of participant {number} must have {KEY_BYTES} bytes, got "
                    f"{len(key)}."
                )
        if len(set(identities.values())) < len(identities):
            raise ProtocolError("two participants have the same identity key.")
        self._keys = dict(identities)

    @classmethod
    def of(cls, identities: Mapping[int, bytes]) -> "Roster":
        """The mapping itself if it is a roster."""
        return identities if isinstance(identities, Roster) else cls(identities)

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Ascending, shape (n,)."""
        return np.array(sorted(self._keys), dtype=np.int64)

    def check(self, numbers: NDArray[np.int64]) -> None:
        """Refuse members that nobody knows.

        Raises
        ------
        ProtocolError
        """
        unknown = numbers[~are_among(numbers, self.numbers)]
        if unknown.size:
            raise ProtocolError(
                f"{unknown.size} members are not in the list of participants, such as {unknown[0]}."
            )

    def to_bits(self, numbers: NDArray[np.int64]) -> bytes:
        """A bit for each participant, set for these, which ascend."""
        return np.packbits(are_among(self.numbers, numbers)).tobytes()

    def from_bits(self, bits: bytes) -> NDArray[np.int64]:
        """The inverse of `to_bits`."""
        found = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=len(self.numbers))
        return np.asarray(self.numbers[found.astype(bool)])

    def __getitem__(self, number: int) -> bytes:
        """The key of a participant."""
        return self._keys[number]

    def __iter__(self) -> Iterator[int]:
        """Numbers."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Participants."""
        return len(self._keys)
