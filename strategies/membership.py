"""Which node is which participant, and the calendar that they share."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError
from fedtrade.wire import DESCRIBE, METRICS, bars_of
from strategies.exchange import ask

__all__ = ["Membership", "discover"]

POLL_S = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """The participants of a run.

    Attributes
    ----------
    participants : mapping of int to int
        Participant's number by node.
    calendar : datetime64[s] of shape (n_bars,)
        Every bar that at least one of them holds.
    """

    participants: Mapping[int, int]
    calendar: NDArray[np.datetime64]


def discover(grid: Grid, n_expected: int | None, timeout_s: float) -> Membership:
    """Wait until `n_expected` nodes are there (or any, if None) and ask them who they are.

    Raises
    ------
    FedtradeError
        If no node answers with a number and bars of its own, or two claim the same number.
    """
    nodes = _wait_for_nodes(grid, n_expected or 1, timeout_s)
    replies, refusals = ask(grid, nodes, DESCRIBE, {}, {}, timeout_s)
    participants: dict[int, int] = {}
    bars = []
    for reply in replies:
        number = reply.message.content[METRICS]["participant"]
        if not isinstance(number, int) or number in participants.values():
            raise FedtradeError(
                f"node {reply.node_id} says that it is participant {number!r}, which is not a "
                "number of its own; give each node its own partition-id."
            )
        participants[reply.node_id] = number
        bars.append(bars_of(reply.arrays["bars"]))
    if not participants:
        raise FedtradeError(f"no participant can take part: {refusals[0].reason}")
    return Membership(participants, np.unique(np.concatenate(bars)))


def _wait_for_nodes(grid: Grid, n_expected: int, timeout_s: float) -> list[int]:
    deadline = time.monotonic() + timeout_s
    while len(nodes := sorted(grid.get_node_ids())) < n_expected:
        if time.monotonic() > deadline:
            raise FedtradeError(
                f"{len(nodes)} of {n_expected} participants came within {timeout_s:g} s; start the "
                "others, or lower federation.n_participants."
            )
        time.sleep(POLL_S)
    return nodes
