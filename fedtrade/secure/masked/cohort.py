"""Members that are summed together: their ring, their thresholds and their committee."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ThresholdError
from fedtrade.secure.groups import group_parameters
from fedtrade.secure.masked.degree import graph_parameters
from fedtrade.secure.masked.graph import cohorts, neighbour_table, neighbours, permutation
from fedtrade.secure.masked.packing import are_among
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.proportion import at_most
from fedtrade.secure.settings import MaskedAggregation

__all__ = ["Cohort", "clear_draws", "draw_cohorts", "sum_parameters"]


@dataclass(frozen=True, eq=False)
class Cohort:
    """One ring of members.

    Attributes
    ----------
    index : int
        Among the cohorts of its sum.
    ring : int64 of shape (n,)
        Members' numbers in their order around it.
    parameters : GraphParameters
    """

    index: int
    ring: NDArray[np.int64]
    parameters: GraphParameters

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """Ascending, shape (n,)."""
        return np.sort(self.ring)

    @cached_property
    def committee(self) -> NDArray[np.int64]:
        """Those who sign the survivors; nobody if the server is trusted to follow the protocol."""
        return self.ring[: self.parameters.committee]

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """Places on the ring of each place's neighbours, shape (n, k)."""
        return neighbour_table(np.arange(len(self.ring)), self.parameters.degree)

    @cached_property
    def reverse(self) -> NDArray[np.int64]:
        """`reverse[i, j]` is where i stands in the list of its neighbour `table[i, j]`."""
        n, k = self.table.shape
        if n == 0:
            return self.table
        own = np.repeat(np.arange(n), k)
        others = self.table.ravel()
        # Both sorts list the same edges, from either end.
        forth, back = np.argsort(own * n + others), np.argsort(others * n + own)
        found = np.empty(n * k, dtype=np.int64)
        found[forth] = back % k
        return found.reshape(n, k)

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where members of the cohort stand on the ring."""
        order = self._order
        return np.asarray(order[np.searchsorted(self.ring, numbers, sorter=order)])

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.ring)

    def holds(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the numbers are members."""
        return are_among(numbers, self.members)

    def neighbours(self, number: int) -> NDArray[np.int64]:
        """A member's neighbours, which hold its shares at the points 1, 2, ..., shape (k,)."""
        # Not from the table, which only the server needs.
        return neighbours(self.ring, self.parameters.degree, number)

    def mask(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """By place, whether the member is one of these, which ascend."""
        return are_among(self.ring, numbers)

    def present_neighbours(self, present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """By place, how many of its neighbours are present, shape (n,)."""
        n, k = len(self.ring), self.parameters.degree
        if self.parameters.is_complete:
            return int(present.sum()) - present.astype(np.int64)
        # The neighbours are the k / 2 nearest on each side.
        half = k // 2
        around = np.concatenate((present[n - half :], present, present[:half])).astype(np.int64)
        total = np.concatenate(([0], np.cumsum(around)))
        return np.asarray(total[k + 1 :] - total[: -k - 1] - present)


def sum_parameters(
    settings: MaskedAggregation, n_known: int, n_members: int, size: int | None = None
) -> GraphParameters:
    """The parameters of a cohort.

    Colluders are reckoned among all participants that are known and may all be among the members,
    so a server that leaves out honest ones gains nothing.

    Parameters
    ----------
    n_known : int
        Participants of the run.
    n_members : int
        Of the sum.
    size : int or None
        Of the group; None for one sum of all.

    Raises
    ------
    ThresholdError
        If there are too few members.
    """
    colluders = at_most(settings.colluding_share, n_known)
    if colluders >= n_members:
        raise ThresholdError(
            f"{n_members} members of {n_known} participants are too few: colluding_share="
            f"{settings.colluding_share} reckons with {colluders} colluders."
        )
    # The middle of [C, C + 1) / n, which no rounding turns into another number of colluders.
    share = (colluders + 0.5) / n_members
    if size is not None:
        return group_parameters(
            n_members,
            size,
            colluding_share=share,
            dropout_share=settings.dropout_share,
            adversary=settings.adversary,
        )
    return graph_parameters(
        n_members,
        colluding_share=share,
        dropout_share=settings.dropout_share,
        security_bits=settings.security_bits,
        correctness_bits=settings.correctness_bits,
        grinding_bits=settings.grinding_bits,
        adversary=settings.adversary,
    )


def draw_cohorts(
    settings: MaskedAggregation,
    n_known: int,
    seed: bytes,
    members: NDArray[np.int64],
    *,
    whole: bool = False,
) -> tuple[Cohort, ...]:
    """The cohorts of a sum, as everybody derives them from the seed.

    Parameters
    ----------
    n_known : int
        Participants of the run.
    seed : 32 bytes
    members : int64 of shape (n,), ascending
    whole : bool
        Whether all are summed together, whatever the size of groups.

    Raises
    ------
    ThresholdError
        If there are too few members for a group or a graph.
    """
    if whole:
        settings = settings.model_copy(update={"group_size": None})
    return _draw(settings, n_known, seed, members.tobytes())


# Cohorts are drawn again at each stage rather than kept, and by every member in a simulation.
@lru_cache(maxsize=4)
def _draw(
    settings: MaskedAggregation, n_known: int, seed: bytes, packed: bytes
) -> tuple[Cohort, ...]:
    members = np.frombuffer(packed, dtype=np.int64)
    grouped = settings.group_size is not None
    return tuple(
        Cohort(
            index,
            ring,
            sum_parameters(settings, n_known, len(members), len(ring) if grouped else None),
        )
        for index, ring in enumerate(
            cohorts(permutation(seed, members.tolist()), settings.group_size)
        )
    )


def clear_draws() -> None:
    """Forget drawn cohorts, so that a measurement of one member includes its own draw."""
    _draw.cache_clear()
