"""Which node is which participant, and the calendar that they share."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from logging import WARNING

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError
from fedtrade.wire import CONFIG, DESCRIBE, KEY_HOLDER, METRICS, ROLE, bars_of
from strategies.exchange import Answer, ask
from strategies.replies import Refusal

__all__ = ["Membership", "discover", "shared_calendar"]

POLL_S = 0.2

LEAST_SHARE = 3
"""A bar needs one in so many of the participants whose span covers it."""

LAST_SECOND = 2.0**53
"""Times up to it are exact as float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """The participants of a run.

    Attributes
    ----------
    participants : mapping of int to int
        Participant's number by node.
    calendar : datetime64[s] of shape (n_bars,)
        See `shared_calendar`.
    refusals : tuple of Refusal
        Nodes that were left out, and why.
    answers : mapping of int to Message
        What each node in a role, participants among them, said of itself.
    key_holders : tuple of int
        Nodes that say they hold a key and take no part.
    """

    participants: Mapping[int, int]
    calendar: NDArray[np.datetime64]
    refusals: tuple[Refusal, ...] = ()
    answers: Mapping[int, Message] = field(default_factory=dict)
    key_holders: tuple[int, ...] = ()


def discover(
    grid: Grid,
    n_expected: int | None,
    timeout_s: float,
    least_holders: int = 2,
    greeting: Mapping[str, ConfigRecord] | None = None,
) -> Membership:
    """Wait until `n_expected` nodes are there (or any, if None) and ask them who they are.

    Parameters
    ----------
    greeting : mapping of str to ConfigRecord, or None
        Further records of the message that asks.

    Raises
    ------
    FedtradeError
        If no node answers with a number and bars, or no bar is left. A node without a usable
        answer is left out, and of several that claim one number all but the first.
    """
    nodes = _wait_for_nodes(grid, n_expected or 1, timeout_s)
    answers, refusals = ask(grid, nodes, DESCRIBE, {}, {}, timeout_s, greeting)
    participants: dict[int, int] = {}
    key_holders: list[int] = []
    bars = []
    for answer in answers:
        if _role(answer) == KEY_HOLDER:
            key_holders.append(answer.node_id)
            continue
        try:
            number, own_bars = _read_description(answer)
            _check_unused(number, participants)
        except ValueError as error:
            refusals.append(Refusal(answer.node_id, str(error)))
        else:
            participants[answer.node_id] = number
            bars.append(own_bars)
    for refusal in refusals:
        log(WARNING, "node %s is left out: %s", *refusal)
    if not participants:
        raise FedtradeError(f"no participant can take part: {refusals[0].reason}")
    named = {a.node_id: a.message for a in answers if a.node_id in {*participants, *key_holders}}
    # Too few participants for a trust mode are refused with better words later.
    calendar = shared_calendar(bars, min(least_holders, len(bars)))
    return Membership(participants, calendar, tuple(refusals), named, tuple(key_holders))


def shared_calendar(
    bars: Sequence[NDArray[np.datetime64]], least_holders: int = 2
) -> NDArray[np.datetime64]:
    """The bars of all participants, without those that too few of them hold.

    A bar stays if at least a third of the participants whose own span (first bar to last) covers
    it hold it, and, among three or more participants, at least `least_holders`. The calendar
    decides where everybody's history begins and ends, so one participant must not make up bars;
    yet markets with other holidays, or listed later than others, must not lose theirs.

    Parameters
    ----------
    bars : sequence of datetime64[s] arrays, not empty
        One for each participant, in any order.

    Raises
    ------
    FedtradeError
        If no bar is left.
    """
    own = [np.unique(times) for times in bars]
    union, n_holders = np.unique(np.concatenate(own), return_counts=True)
    first = np.sort([times[0] for times in own])
    last = np.sort([times[-1] for times in own])
    n_begun = np.searchsorted(first, union, "right")
    n_ended = np.searchsorted(last, union, "left")
    n_covering = n_begun - n_ended
    least = least_holders if len(own) > 2 else 1
    kept = (LEAST_SHARE * n_holders >= n_covering) & (n_holders >= least)
    if not kept.any():
        raise FedtradeError(
            f"no bar is held by {least} participants; give them data of the same market and bar "
            "length, or set federation.least_holders=1 (and aggregation=plain) if each holds a "
            "period of its own."
        )
    if not kept.all():
        log(WARNING, "%d bars that too few participants hold are left out.", int((~kept).sum()))
    return union[kept]


def _check_unused(number: int, participants: Mapping[int, int]) -> None:
    """Raise a ValueError if another node has the number."""
    if number in participants.values():
        raise ValueError(
            f"the node says that it is participant {number}, as another node does; give each node "
            "its own partition-id"
        )


def _role(answer: Answer) -> object:
    return answer.message.content.config_records.get(CONFIG, ConfigRecord()).get(ROLE)


def _read_description(answer: Answer) -> tuple[int, NDArray[np.datetime64]]:
    """A participant's number and bars.

    Raises
    ------
    ValueError
        If one of them is missing or cannot be what it should.
    """
    metrics = answer.message.content.metric_records.get(METRICS, MetricRecord())
    number = metrics.get("participant")
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"the participant's number must be a whole one, got {number!r}")
    seconds = answer.arrays.get("bars")
    if (
        seconds is None
        or seconds.dtype.kind != "f"
        or seconds.ndim != 1
        or not seconds.size
        or not (np.abs(seconds) <= LAST_SECOND).all()
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
