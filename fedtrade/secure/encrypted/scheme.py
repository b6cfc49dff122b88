"""What an additively homomorphic scheme is to the rest: integers in, the integers' sum out.

All schemes take the ring elements of a `Layout` with the scheme's `modulus`, so that whoever adds
need not know which it is. Values travel in *chunks*, one ciphertext each. The first slot of each
chunk counts: a member puts a one into it, so that a sum shows in every chunk of how many (or of
how much weight) it is made.

A member adds a *pad* to each chunk, and whoever opens the sum takes the sum of the pads off
(`fedtrade.secure.encrypted.pads`). Pads are uniform in the ring where the scheme adds exactly: that
of plaintexts, or of ciphertexts if plaintexts are approximate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import RangeError

__all__ = [
    "MAX_WEIGHT",
    "Accumulator",
    "Decryptor",
    "Encryptor",
    "KeyPair",
    "OpenedSum",
    "Pads",
    "Scheme",
    "Security",
    "check_values",
    "largest",
    "split",
]

MAX_WEIGHT = 1000
"""Plaintext weights of contributions are integers from 1 to this: parts per thousand."""


@dataclass(frozen=True, slots=True)
class Security:
    """How hard it is to read a ciphertext without the key.

    Attributes
    ----------
    bits : int
        Of the best attacks known, as the source counts them.
    statement : str
        The parameters that matter, for a report.
    source : str
        The table that says so.
    """

    bits: int
    statement: str
    source: str


class KeyPair(NamedTuple):
    """Both halves of a key, serialised; the secret one never leaves the key holder.

    Attributes
    ----------
    public : bytes
        Enough to encrypt and to add.
    secret : bytes
        Enough to decrypt.
    """

    public: bytes
    secret: bytes


class OpenedSum(NamedTuple):
    """What a sum's chunks hold.

    Attributes
    ----------
    values : int64 of shape (size,)
    counts : float64 of shape (n_chunks,)
        The counting slots: the sum of the weights, one of each contribution without weights.
        Exact for exact schemes.
    largest : float
        The largest absolute value, however far out of range.
    rest : float
        The largest absolute value of what no contribution fills: slots behind the values, and
        bits behind the slots.
    """

    values: NDArray[np.int64]
    counts: NDArray[np.float64]
    largest: float
    rest: float


class Pads(Protocol):
    """Uniform elements of the scheme's ring, from keys."""

    def total(self, keys: Iterable[tuple[bytes, int]], n_chunks: int) -> list[bytes]:
        """The sum of the pads of keys of 32 bytes, each times an integer, chunk by chunk."""


class Encryptor(Protocol):
    """A member's side."""

    def encrypt(self, values: NDArray[np.int64], pad_key: bytes | None = None) -> list[bytes]:
        """Chunks of integers of shape (size,), with the key's pad on them if there is one.

        Raises
        ------
        RangeError
            If a value is beyond the scheme's `bound`.
        """


class Decryptor(Protocol):
    """The key holder's side."""

    def decrypt(self, chunks: Sequence[bytes], size: int, pads: Sequence[bytes] = ()) -> OpenedSum:
        """What the chunks of a sum hold; of an approximate scheme, without flooding noise.

        Parameters
        ----------
        pads : sequence of bytes
            The sum of the contributions' pads, chunk by chunk; without it they stay on.
        """


class Accumulator(Protocol):
    """The server's side: a sum under encryption."""

    def add(self, chunks: Sequence[bytes], weight: int) -> None:
        """Add `weight` times a contribution; whatever fails leaves the sum as it was."""

    def restore(self, chunks: Sequence[bytes]) -> None:
        """Go on from an earlier `total`."""

    def total(self) -> list[bytes]:
        """The chunks of the sum so far."""


class Scheme(Protocol):
    """Parameters that all parties know, and what can be done with them.

    Attributes
    ----------
    name : str
        As in `EncryptedAggregation.scheme`.
    n_members : int
        The most contributions to a sum.
    weighted : bool
        Whether contributions may be multiplied by a weight of up to `MAX_WEIGHT`.
    modulus : int
        Of the layout.
    layout_members : int
        That the layout is made for: a member counts as often as its largest weight. What comes
        out is checked against the most that so many make, so an approximate scheme adds some for
        its noise.
    bound : int
        The largest entry of a member.
    entries : int
        Values a chunk, the counting slot not among them.
    is_exact : bool
        Whether sums come out to the last digit.
    security : Security
    """

    @property
    def name(self) -> str: ...
    @property
    def n_members(self) -> int: ...
    @property
    def weighted(self) -> bool: ...
    @property
    def modulus(self) -> int: ...
    @property
    def layout_members(self) -> int: ...
    @property
    def bound(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def is_exact(self) -> bool: ...
    @property
    def security(self) -> Security: ...

    def fields(self) -> Mapping[str, str | int]:
        """The parameters, for `fedtrade.secure.encrypted.schemes.scheme_from`."""

    def generate(self) -> KeyPair:
        """A fresh pair of keys."""

    def pads(self, public: bytes) -> Pads:
        """Of a public key."""

    def encryptor(self, public: bytes) -> Encryptor:
        """Of a public key; ProtocolError if it is none of this scheme's."""

    def decryptor(self, secret: bytes) -> Decryptor:
        """Of a secret key."""

    def accumulator(self, public: bytes) -> Accumulator:
        """An empty sum."""

    def check_public(self, public: bytes) -> None:
        """Size and header of a public key; ProtocolError."""

    def check_fresh(self, chunk: bytes) -> None:
        """Size and header of a contribution's ciphertext; ProtocolError."""

    def check_sum(self, chunk: bytes) -> None:
        """Size and header of a sum's ciphertext; ProtocolError."""

    def error(self, n_contributors: int) -> float:
        """Standard deviation of an opened sum's entry before flooding, in units of the layout."""


def max_weight(weighted: bool) -> int:
    """The largest weight a contribution can have."""
    return MAX_WEIGHT if weighted else 1


def bound(modulus: int, layout_members: int) -> int:
    """The largest absolute value of a member's entry for which no sum wraps."""
    return (modulus - 1) // 2 // layout_members


def check_values(values: NDArray[np.int64], most: int) -> None:
    """Raise a RangeError unless all |values| <= most."""
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values must have a shape (size,) with size > 0, got {values.shape}.")
    worst = int(values[np.argmax(np.abs(values.astype(np.float64)))])
    if abs(worst) > most:
        raise RangeError(
            f"an entry of {worst} is beyond {most}, so that a sum could wrap; encode values with "
            "a layout of the scheme's modulus."
        )


def split(values: NDArray[np.int64], entries: int, unit: int) -> NDArray[np.int64]:
    """Chunks of shape (n_chunks, 1 + entries): in front `unit`, behind the last value zeros."""
    n = n_chunks(values.size, entries)
    padded = np.pad(values, (0, n * entries - values.size)).reshape(n, entries)
    return np.concatenate([np.full((n, 1), unit, dtype=np.int64), padded], axis=1)


def largest(values: NDArray[Any]) -> float:
    """The largest absolute value, 0 if there is none; NaN of NaN."""
    return float(np.abs(values.astype(np.float64)).max(initial=0.0))


def n_chunks(size: int, entries: int) -> int:
    """Chunks of a vector of `size` values."""
    return -(-size // entries)
