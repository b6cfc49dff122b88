"""Which node is which participant, and the calendar that they share."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import MetricRecord
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError
from fedtrade.wire import DESCRIBE, METRICS, bars_of
from strategies.exchange import Answer, ask
from strategies.replies import Refusal

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
        If no node answers with a number and bars, or two claim the same number. A node without
        a usable answer is left out.
    """
    nodes = _wait_for_nodes(grid, n_expected or 1, timeout_s)
    replies, refusals = ask(grid, nodes, DESCRIBE, {}, {}, timeout_s)
    participants: dict[int, int] = {}
    bars = []
    for reply in replies:
        try:
            number, own_bars = _read_description(reply)
        except ValueError as error:
            refusals.append(Refusal(reply.node_id, str(error)))
            continue
        if number in participants.values():
            raise FedtradeError(
                f"node {reply.node_id} says that it is participant {number}, as another node "
                "does; give each node its own partition-id."
            )
        participants[reply.node_id] = number
        bars.append(own_bars)
    if not participants:
        raise FedtradeError(f"no participant can take part: {refusals[0].reason}")
    return Membership(participants, np.unique(np.concatenate(bars)))


def _read_description(reply: Answer) -> tuple[int, NDArray[np.datetime64]]:
    """A participant's number and bars.

    Raises
    ------
    ValueError
        If one of them is missing or cannot be what it should.
    """
    metrics = reply.message.content.metric_records.get(METRICS, MetricRecord())
    number = metrics.get("participant")
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"the participant's number must be a whole one, got {number!r}")
    seconds = reply.arrays.get("bars")
    if (
        seconds is None
        or seconds.dtype.kind != "f"
        or seconds.ndim != 1
        or not seconds.size
        or not np.isfinite(seconds).all()
    ):
        raise ValueError("the participant's bars must be one or more times in seconds")
    return number, bars_of(seconds)


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
