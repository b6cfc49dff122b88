"""Fixed-point numbers in a ring of integers, so coarse that no honest sum can wrap around."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.errors import ConfigurationError, ProtocolError, RangeError

__all__ = ["Layout", "Segment", "least_modulus"]

Words = NDArray[np.integer]

WORD_BITS: Final = (32, 64)
MOST_MODULUS: Final = 1 << 62
"""Sums of two elements are within int64."""
LEAST_EXPONENT: Final = -1022
"""Of steps: float64 has smaller ones, but with fewer digits."""
NO_EXPONENT: Final = 1 << 20
"""Larger than that of any float."""
SMALLEST: Final = 2.0**LEAST_EXPONENT
LARGEST: Final = 2.0**900


@dataclass(frozen=True)
class Segment:
    """Entries that have a bound and a resolution in common.

    Attributes
    ----------
    name : str
    size : int
        Number of entries, at least 1.
    bound : float
        Largest absolute value of an entry of one member.
    resolution : float
        Coarsest step that is acceptable; at most the bound.

    Raises
    ------
    ConfigurationError
        If one of them is out of range.
    """

    name: str
    size: int
    bound: float
    resolution: float

    def __post_init__(self) -> None:
        """Refuse what cannot be laid out."""
        if self.size < 1:
            raise ConfigurationError(
                f"segment {self.name!r}: size must be at least 1, got {self.size}."
            )
        if not SMALLEST <= self.resolution <= self.bound <= LARGEST:
            raise ConfigurationError(
                f"segment {self.name!r}: 2**-1022 <= resolution <= bound <= 2**900 must hold, got "
                f"resolution={self.resolution} and bound={self.bound}."
            )


class Layout:
    """Where the entries of named segments stand in a vector of ring elements, and at what step.

    With q = ceil(bound / step) no member's entry exceeds q, so sums of n members' entries cannot
    wrap while n q < modulus / 2. The step is the finest power of two for which that holds, and the
    modulus the smallest of 2**32 and 2**64 for which the step is within the resolution.

    Parameters
    ----------
    segments : sequence of Segment
        Of different names.
    n_members : int
        The most that are added.
    word_bits : 32, 64 or None
        Fixes the modulus to 2**word_bits.
    modulus : int or None
        Any modulus of 3 to 2**62 instead: elements are int64 around zero then.

    Raises
    ------
    ConfigurationError
        If an argument is out of range, or no ring is large enough; the message has the numbers.
    """

    __slots__ = ("_modulus", "_n_members", "_quanta", "_segments", "_steps", "_word_bits")

    def __init__(
        self,
        segments: Sequence[Segment],
        n_members: int,
        *,
        word_bits: int | None = None,
        modulus: int | None = None,
    ) -> None:
        self._segments = tuple(segments)
        self._n_members = n_members
        self._check(word_bits, modulus)
        if modulus is not None:
            candidates: tuple[int, ...] = (modulus,)
        else:
            bits = WORD_BITS if word_bits is None else (word_bits,)
            candidates = tuple(1 << width for width in bits)
        self._modulus = next(filter(self._fits, candidates), 0)
        if not self._modulus:
            raise ConfigurationError(self._none_fits(candidates[-1]))
        self._word_bits = self._modulus.bit_length() - 1 if modulus is None else None
        exponents = [self._finest(each, self._modulus) for each in self._segments]
        self._steps = tuple(math.ldexp(1.0, exponent) for exponent in exponents)
        self._quanta = tuple(
            _quanta(each, exponent)
            for each, exponent in zip(self._segments, exponents, strict=True)
        )

    @property
    def segments(self) -> tuple[Segment, ...]:
        """In their order in the vector."""
        return self._segments

    @property
    def n_members(self) -> int:
        """The most that are added."""
        return self._n_members

    @property
    def size(self) -> int:
        """Entries of the vector."""
        return sum(each.size for each in self._segments)

    @property
    def modulus(self) -> int:
        """Number of elements of the ring."""
        return self._modulus

    @property
    def word_bits(self) -> int | None:
        """32 or 64 if elements are words, which wrap by themselves; None with another modulus."""
        return self._word_bits

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of ring elements: uint32, uint64, or int64 around zero."""
        return np.dtype("int64" if self._word_bits is None else f"uint{self._word_bits}")

    @property
    def steps(self) -> tuple[float, ...]:
        """The value of 1 in each segment, a power of two."""
        return self._steps

    def encode(self, values: Mapping[str, ArrayLike]) -> Words:
        """Ring elements of one member's values, each rounded to the nearest step, ties to even.

        Parameters
        ----------
        values : mapping from each segment's name to real numbers, as many as its size

        Returns
        -------
        `dtype` of shape (size,)

        Raises
        ------
        RangeError
            If a value is not finite or beyond its segment's bound.
        ValueError
            If a segment is missing, unknown or not of its size.
        """
        if set(values) != {each.name for each in self._segments}:
            raise ValueError(
                f"values must be given for {[each.name for each in self._segments]}, got "
                f"{sorted(values)}."
            )
        entries = np.empty(self.size, dtype=np.int64)
        for segment, place, step in self._places():
            given = np.asarray(values[segment.name], dtype=np.float64).ravel()
            if given.size != segment.size:
                raise ValueError(
                    f"segment {segment.name!r} has {segment.size} entries, got {given.size}."
                )
            _check_range(segment, given)
            entries[place] = np.rint(np.ldexp(given, 1 - math.frexp(step)[1]))
        return entries.astype(self.dtype)

    def add(self, total: Words, other: Words) -> None:
        """Add another vector to a total, in place.

        Raises
        ------
        ProtocolError
            If one of them is not a vector of this layout.
        """
        self._check_words(total)
        self._check_words(other)
        if self._word_bits is not None:
            total += other
            return
        total[:] = self._lift(self._lift(total) + self._lift(other))

    def decode(self, total: Words, n_members: int | None = None) -> dict[str, NDArray[np.float64]]:
        """The sums of the members' values, by segment.

        They differ from the exact sums by half a step for each member at most, and by the rounding
        of float64 where an entry exceeds 2**53 steps.

        Parameters
        ----------
        total : `dtype` of shape (size,)
        n_members : int or None
            How many were added, if that is known; None for the most that may have been.

        Raises
        ------
        RangeError
            If an entry exceeds n_members * ceil(bound / step) steps, which nobody honest makes.
        ProtocolError
            If it is not a vector of this layout.
        ValueError
            If `n_members` is below 0 or above that of the layout.
        """
        self._check_words(total)
        added = self._n_members if n_members is None else n_members
        if not 0 <= added <= self._n_members:
            raise ValueError(f"n_members must be 0 to {self._n_members}, got {n_members}.")
        lifted = self._lift(total)
        sums = {}
        for (segment, place, step), quanta in zip(self._places(), self._quanta, strict=True):
            entries = lifted[place]
            most = added * quanta
            beyond = (entries > most) | (entries < -most)
            if beyond.any():
                raise RangeError(
                    f"segment {segment.name!r}: an entry of the total is "
                    f"{entries[beyond][0] * step:.6g}, but {added} members of bound "
                    f"{segment.bound} make {most * step:.6g} at most: somebody sent what no "
                    "honest member sends, or the masks do not cancel."
                )
            sums[segment.name] = np.ldexp(entries.astype(np.float64), math.frexp(step)[1] - 1)
        return sums

    def to_fields(self) -> dict[str, int | list[str] | list[int] | list[float]]:
        """Plain numbers and texts from which `from_fields` makes an equal layout."""
        return {
            "names": [each.name for each in self._segments],
            "sizes": [int(each.size) for each in self._segments],
            "bounds": [float(each.bound) for each in self._segments],
            "resolutions": [float(each.resolution) for each in self._segments],
            "n_members": int(self._n_members),
            "word_bits": self._word_bits or 0,
            "modulus": int(self._modulus) if self._word_bits is None else 0,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Layout":
        """The layout of `to_fields`.

        Raises
        ------
        ProtocolError
            If a field is missing, unknown or of another type, or the lists differ in length.
        ConfigurationError
            If the numbers make no layout.
        """
        _check_fields(fields)
        columns = (fields["names"], fields["sizes"], fields["bounds"], fields["resolutions"])
        if len({len(column) for column in columns}) != 1:
            raise ProtocolError("the lists of a layout's segments differ in length.")
        return cls(
            [Segment(*row) for row in zip(*columns, strict=True)],
            fields["n_members"],
            word_bits=fields["word_bits"] or None,
            modulus=fields["modulus"] or None,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        ring = f"modulus={self._modulus}" if self._word_bits is None else f"{self._word_bits} bits"
        return f"Layout({list(self._segments)}, n_members={self._n_members}, {ring})"

    def _content(self) -> tuple[Any, ...]:
        return self._segments, self._n_members, self._word_bits, self._modulus

    def _places(self) -> Iterator[tuple[Segment, slice, float]]:
        start = 0
        for segment, step in zip(self._segments, self._steps, strict=True):
            yield segment, slice(start, start + segment.size), step
            start += segment.size

    def _lift(self, words: Words) -> NDArray[np.int64]:
        """The integers around zero that ring elements stand for."""
        if self._word_bits is not None:
            return words.view(f"int{self._word_bits}").astype(np.int64)
        half = (self._modulus - 1) // 2
        lifted = words % self._modulus
        lifted[lifted > half] -= self._modulus
        return lifted.astype(np.int64)

    def _check_words(self, words: Words) -> None:
        if words.dtype != self.dtype or words.shape != (self.size,):
            raise ProtocolError(
                f"a vector of this layout is {self.dtype} of shape ({self.size},), got "
                f"{words.dtype} of shape {words.shape}."
            )

    def _check(self, word_bits: int | None, modulus: int | None) -> None:
        names = [each.name for each in self._segments]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(f"a layout needs segments of different names, got {names}.")
        if self._n_members < 1:
            raise ConfigurationError(f"n_members must be at least 1, got {self._n_members}.")
        if word_bits is not None and (modulus is not None or word_bits not in WORD_BITS):
            raise ConfigurationError(
                f"word_bits must be 32 or 64, and None if a modulus is given; got {word_bits} "
                f"and modulus={modulus}."
            )
        if modulus is not None and not 3 <= modulus <= MOST_MODULUS:
            raise ConfigurationError(f"modulus must be 3 to 2**62, got {modulus}.")

    def _fits(self, modulus: int) -> bool:
        return all(self._finest(each, modulus) <= _coarsest(each) for each in self._segments)

    def _finest(self, segment: Segment, modulus: int) -> int:
        """The smallest exponent of a step at which sums cannot wrap."""
        most_quanta = (modulus - 1) // (2 * self._n_members)
        if not most_quanta:
            return NO_EXPONENT
        # ceil(bound / step) <= most_quanta just if step >= bound / most_quanta.
        least_step = Fraction(segment.bound) / most_quanta
        exponent = least_step.numerator.bit_length() - least_step.denominator.bit_length()
        return max(exponent + (least_step > Fraction(2) ** exponent), LEAST_EXPONENT)

    def _none_fits(self, modulus: int) -> str:
        worst = max(self._segments, key=lambda each: _quanta(each, _coarsest(each)))
        exponent = _coarsest(worst)
        return (
            f"segment {worst.name!r}: sums of {self._n_members} members with bound={worst.bound} "
            f"could wrap: at the step 2**{exponent}, the largest power of two within "
            f"resolution={worst.resolution}, n_members * ceil(bound / step) = {self._n_members} * "
            f"{_quanta(worst, exponent)} must be below modulus / 2 = {modulus} / 2. Take a coarser "
            "resolution, a smaller bound or fewer members."
        )


def least_modulus(segments: Sequence[Segment], n_members: int) -> int:
    """The smallest modulus with which a layout can hold these segments' sums."""
    return 1 + 2 * n_members * max(_quanta(each, _coarsest(each)) for each in segments)


def _coarsest(segment: Segment) -> int:
    """The exponent of the largest power of two within the resolution."""
    return math.frexp(segment.resolution)[1] - 1


def _quanta(segment: Segment, exponent: int) -> int:
    """Steps that one member's entry has at most."""
    return math.ceil(Fraction(segment.bound) / Fraction(2) ** exponent)


def _check_range(segment: Segment, given: NDArray[np.float64]) -> None:
    within = np.abs(given) <= segment.bound
    if not within.all():
        place = int(np.argmin(within))
        raise RangeError(
            # Without the value: the server that chose the bound reads this.
            f"segment {segment.name!r}: entry {place} must be finite and within "
            f"±{segment.bound}; clip it or raise the bound."
        )


_FIELDS: Final[Mapping[str, type]] = {
    "names": str,
    "sizes": int,
    "bounds": float,
    "resolutions": float,
    "n_members": int,
    "word_bits": int,
    "modulus": int,
}
_SCALARS: Final = ("n_members", "word_bits", "modulus")


def _check_fields(fields: Mapping[str, Any]) -> None:
    if set(fields) != set(_FIELDS):
        raise ProtocolError(f"a layout has the fields {sorted(_FIELDS)}, got {sorted(fields)}.")
    for name, kind in _FIELDS.items():
        values = [fields[name]] if name in _SCALARS else fields[name]
        if not isinstance(values, Sequence) or not all(type(each) is kind for each in values):
            raise ProtocolError(f"the field {name!r} of a layout must hold {kind.__name__}.")
