"""Sums, means and histograms over members, of which nobody sees the parts.

A statistic has two halves: what a member adds (`part`) and what follows from the total
(`finish`). A task uses them in its `local_sum` and `finish_sum`, and the federation adds up in
whichever trust mode it runs. The functions `secure_sum`, `secure_mean` and `secure_histogram` run
the very protocol of a mode among members in one process, to try things out.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.errors import ThresholdError
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.encrypted import (
    CiphertextSum,
    KeyHolder,
    PadKeys,
    check_contribution,
    contribute,
)
from fedtrade.secure.encrypted.channels import SUMS, channels
from fedtrade.secure.layout import Layout
from fedtrade.secure.masked import CohortSum, IdentityKey, rehearse
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.payload import SUM, sum_layout
from fedtrade.secure.settings import (
    Aggregation,
    EncryptedAggregation,
    MaskedAggregation,
    PlainAggregation,
)

__all__ = [
    "Histogram",
    "Mean",
    "Statistic",
    "Total",
    "secure_histogram",
    "secure_mean",
    "secure_statistic",
    "secure_sum",
]

FloatArray = NDArray[np.float64]


class Statistic(Protocol):
    """Something that follows from one sum over members."""

    def part(self, values: FloatArray) -> FloatArray:
        """What a member adds, of a shape that its values do not change."""
        ...

    def finish(self, total: FloatArray) -> FloatArray:
        """The statistic, from the sum of all parts."""
        ...


@dataclass(frozen=True)
class Total:
    """The sum of arrays of one shape, such as sufficient statistics."""

    def part(self, values: FloatArray) -> FloatArray:
        """The array itself."""
        return values

    def finish(self, total: FloatArray) -> FloatArray:
        """The sum itself."""
        return total


@dataclass(frozen=True)
class Mean:
    """The mean over all members' observations, each counting alike."""

    def part(self, values: FloatArray) -> FloatArray:
        """Counts and sums by column, shape (2, n_columns).

        Parameters
        ----------
        values : ndarray of shape (n, n_columns) or (n,)
            NaN where something is unknown, which does not count; n may be 0.
        """
        columns = values[:, None] if values.ndim == 1 else values
        known = np.isfinite(columns)
        return np.stack([known.sum(axis=0), np.where(known, columns, 0.0).sum(axis=0)])

    def finish(self, total: FloatArray) -> FloatArray:
        """Means by column, shape (n_columns,); NaN where nobody has an observation."""
        count, first = total
        unknown = np.full_like(first, np.nan)
        means: FloatArray = np.divide(first, count, out=unknown, where=count > 0.5)
        return means


@dataclass(frozen=True)
class Histogram:
    """How many observations fall between edges that everybody knows.

    Attributes
    ----------
    edges : tuple of float
        At least two, increasing. Bins are closed on the left, the last one on both sides; what
        lies outside of all is not counted.

    Raises
    ------
    ValueError
        If they do not increase.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse edges that make no bins."""
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0.0).all():
            raise ValueError(f"edges must be two or more that increase, got {self.edges}.")

    def part(self, values: FloatArray) -> FloatArray:
        """Counts, shape (n_edges - 1,)."""
        counts, _ = np.histogram(values[np.isfinite(values)], bins=np.array(self.edges))
        return counts.astype(np.float64)

    def finish(self, total: FloatArray) -> FloatArray:
        """Counts as whole numbers."""
        return np.rint(total)


def secure_sum(parts: Sequence[ArrayLike], settings: Aggregation) -> FloatArray:
    """The sum of members' arrays of one shape by the protocol of a trust mode.

    Parameters
    ----------
    parts : sequence of array-likes
        One a member.
    settings : PlainAggregation, MaskedAggregation or EncryptedAggregation

    Raises
    ------
    ThresholdError
        If there are fewer than `min_contributors` members, or too few for the masks.
    RangeError
        If an entry is not finite or beyond `sum_bound`.
    ConfigurationError
        If no ring holds the sum at `sum_resolution`.

    Examples
    --------
    >>> from fedtrade.secure import MaskedAggregation
    >>> secure_sum([[1.0, 2.0]] * 10, MaskedAggregation())
    array([10., 20.])
    """
    return secure_statistic(Total(), parts, settings)


def secure_mean(values: Sequence[ArrayLike], settings: Aggregation) -> FloatArray:
    """The mean over all members' observations; see `Mean` and `secure_sum`."""
    return secure_statistic(Mean(), values, settings)


def secure_histogram(
    values: Sequence[ArrayLike], edges: Sequence[float], settings: Aggregation
) -> FloatArray:
    """How many observations fall into each bin; see `Histogram` and `secure_sum`."""
    return secure_statistic(Histogram(tuple(edges)), values, settings)


def secure_statistic(
    statistic: Statistic, values: Sequence[ArrayLike], settings: Aggregation
) -> FloatArray:
    """A statistic over members by the protocol of a trust mode; see `secure_sum`."""
    parts = [statistic.part(np.asarray(each, dtype=np.float64)) for each in values]
    shapes = {part.shape for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"members' parts must have one shape, got {sorted(shapes)}.")
    flat = np.stack([part.ravel() for part in parts])
    match settings:
        case PlainAggregation():
            total = flat.sum(axis=0)
        case MaskedAggregation():
            total = _masked(flat, settings)
        case EncryptedAggregation():
            total = _encrypted(flat, settings)
    return statistic.finish(total.reshape(parts[0].shape))


def _masked(parts: FloatArray, settings: MaskedAggregation) -> FloatArray:
    layout = sum_layout(settings, parts.shape[1], len(parts))
    found = rehearse(settings, [np.stack([layout.encode({SUM: part}) for part in parts])])
    if found.problems[0]:
        raise ThresholdError(found.problems[0])
    total = np.zeros(parts.shape[1])
    for each in found.sums[0]:
        if not isinstance(each, CohortSum):
            raise ThresholdError(each.reason)
        total += layout.decode(each.total, len(each.members))[SUM]
    return total


def _encrypted(parts: FloatArray, settings: EncryptedAggregation) -> FloatArray:
    n_members, size = parts.shape
    scheme = channels(settings, n_members)[SUMS]
    layout: Layout = sum_layout(settings, size, scheme.layout_members, modulus=scheme.modulus)
    run = os.urandom(RUN_BYTES)
    members = [IdentityKey.generate() for _ in range(n_members)]
    identities = {number: key.public_bytes for number, key in enumerate(members)}
    agreements = [AgreementKey() for _ in range(n_members)]
    pads = {number: key.public_bytes for number, key in enumerate(agreements)}
    holder = KeyHolder(scheme, settings, run, IdentityKey.generate(), identities, pads)
    encryptor = scheme.encryptor(holder.public)
    signed = []
    with CiphertextSum(scheme, holder.public, size) as growing:
        for number, (part, key) in enumerate(zip(parts, members, strict=True)):
            words = layout.encode({SUM: part}).astype(np.int64, copy=False)
            pad_keys = PadKeys(agreements[number], holder.pad_public, run, number, SUMS)
            contribution = contribute(encryptor, key, run, 0, number, words, pad_keys.of(0))
            check_contribution(contribution, run, 0, identities[number])
            growing.add(number, contribution.chunks)
            signed.append(contribution.signed)
        closed = growing.close()
    return layout.decode(holder.decrypt(0, size, closed.chunks, signed, kind=SUMS))[SUM]
