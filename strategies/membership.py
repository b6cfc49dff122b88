"""Which node is which participant, and the calendar that they share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import WARNING
from typing import NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.nodes.registry import Party
from fedtrade.outcome import UNKNOWN_PARTICIPANT
from fedtrade.wire import (
    CONFIG,
    DESCRIBE,
    KEY_HOLDER,
    METRICS,
    ROLE,
    VERSION,
    bars_of,
    check_version,
    own_version,
    printable,
)
from strategies.exchange import Answer, ask
from strategies.parties import Parties, check_answer
from strategies.replies import Refusal, plain_reason, refused

__all__ = ["Membership", "discover", "shared_calendar"]

POLL_S = 0.2

LEAST_SHARE = 3
"""A bar needs one in so many of the participants whose span covers it."""

MOST_TOLD = 3
"""Nodes that were left out are named in an error, up to so many."""

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
    parties : mapping of int to Party
        The registered party of each node, where there is a register.
    """

    participants: Mapping[int, int]
    calendar: NDArray[np.datetime64]
    refusals: tuple[Refusal, ...] = ()
    answers: Mapping[int, Message] = field(default_factory=dict)
    key_holders: tuple[int, ...] = ()
    parties: Mapping[int, Party] = field(default_factory=dict)

    def number_of(self, node: int) -> int:
        """The participant whose node it is, or `UNKNOWN_PARTICIPANT`."""
        if node in self.participants:
            return self.participants[node]
        party = self.parties.get(node)
        is_participant = party is not None and party.role == "participant"
        return party.number if party is not None and is_participant else UNKNOWN_PARTICIPANT

    def name_of(self, node: int) -> str:
        """The party's name; empty where there is no register."""
        return self.parties[node].name if node in self.parties else ""

    @property
    def left_out(self) -> str:
        """A further sentence that names the first nodes that were left out, and why; or nothing."""
        told = "; ".join(
            f"{self.title_of(node)} ({plain_reason(reason).rstrip('.')})"
            for node, reason in self.refusals[:MOST_TOLD]
        )
        return printable(f" Nodes that were left out: {told}." if told else "")

    def title_of(self, node: int) -> str:
        """What to call a node in a message: its party's name, or its number."""
        return self.name_of(node) or f"node {node}"


def discover(
    grid: Grid,
    n_expected: int | None,
    timeout_s: float,
    least_holders: int = 2,
    greeting: Mapping[str, ConfigRecord] | None = None,
    *,
    join_s: float | None = None,
    n_least: int | None = None,
    parties: Parties | None = None,
    on_arrival: Callable[[Mapping[int, Party]], None] | None = None,
) -> Membership:
    """Wait until `n_expected` nodes are there (or any, if None) and ask them who they are.

    Parameters
    ----------
    greeting : mapping of str to ConfigRecord, or None
        Further records of the message that asks.
    join_s : float or None
        How long the nodes are waited for; None for `timeout_s`, that of the answers.
    n_least : int or None
        With so many of them the run begins when that time is over; None for all.
    parties : Parties or None
        Those that are registered. No other node is asked, and one that says that it is somebody
        else is left out.
    on_arrival : callable or None
        Told whose nodes are there, whenever there are more or fewer.

    Raises
    ------
    FedtradeError
        If too few nodes come, none answers with a number and bars, or no bar is left. A node
        without a usable answer is left out, and of several that claim one number all but the first.
    """
    nodes = _Arrivals(grid, parties, on_arrival).wait(
        n_expected or 1, n_least, timeout_s if join_s is None else join_s
    )
    config = {VERSION: own_version()}
    answers, refusals = ask(grid, nodes.asked, DESCRIBE, {}, config, timeout_s, greeting)
    participants: dict[int, int] = {}
    key_holders: list[int] = []
    bars = []
    for answer in answers:
        try:
            _check_told(answer, nodes.parties.get(answer.node_id))
            if _role(answer) == KEY_HOLDER:
                key_holders.append(answer.node_id)
                continue
            number, own_bars = _read_description(answer)
            _check_unused(number, participants)
        except (ValueError, ConfigurationError) as error:
            refusals.append(Refusal(answer.node_id, printable(str(error))))
        else:
            participants[answer.node_id] = number
            bars.append(own_bars)
    refusals += nodes.refusals
    for node, reason in refusals:
        party = nodes.parties[node].name if node in nodes.parties else f"node {node}"
        log(WARNING, "%s is left out: %s", party, reason, extra=refused(party, 0, reason))
    if not participants:
        reason = refusals[0].reason if refusals else "no node is there"
        raise FedtradeError(f"no participant can take part: {reason}")
    named = {a.node_id: a.message for a in answers if a.node_id in {*participants, *key_holders}}
    # Too few participants for a trust mode are refused with better words later.
    calendar = shared_calendar(bars, min(least_holders, len(bars)))
    return Membership(
        participants, calendar, tuple(refusals), named, tuple(key_holders), nodes.parties
    )


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


def _check_told(answer: Answer, party: Party | None) -> None:
    """Whether a node is of this version, and who it is registered as.

    Raises
    ------
    ConfigurationError, ValueError
    """
    said = answer.message.content.config_records.get(CONFIG, ConfigRecord()).get(VERSION)
    if party is not None or said is not None:
        check_version(said, "its node")
    if party is not None:
        check_answer(party, answer.message)


class _Nodes(NamedTuple):
    """Nodes to ask, whose they are, and those that are not asked."""

    asked: list[int]
    parties: Mapping[int, Party]
    refusals: list[Refusal]


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """Watches who is there."""

    grid: Grid
    parties: Parties | None
    on_arrival: Callable[[Mapping[int, Party]], None] | None

    def wait(self, n_expected: int, n_least: int | None, timeout_s: float) -> _Nodes:
        """Wait for so many nodes; when the time is over, for as many as there must be.

        Raises
        ------
        FedtradeError
            If they are fewer.
        """
        deadline = time.monotonic() + timeout_s
        nodes = self._look()
        before: Mapping[int, Party] | None = None
        while len(nodes.asked) < n_expected:
            if self.on_arrival is not None and nodes.parties != before:
                self.on_arrival(nodes.parties)
                before = nodes.parties
            if time.monotonic() > deadline:
                if n_least is not None and len(nodes.asked) >= n_least:
                    break
                raise FedtradeError(self._shortage(nodes, n_expected, timeout_s))
            time.sleep(POLL_S)
            nodes = self._look()
        return nodes

    def _look(self) -> _Nodes:
        if self.parties is None:
            return _Nodes(sorted(self.grid.get_node_ids()), {}, [])
        found, refusals = self.parties.sort(self.grid.get_nodes())
        return _Nodes(sorted(found), found, refusals)

    def _shortage(self, nodes: _Nodes, n_expected: int, timeout_s: float) -> str:
        said = f"{len(nodes.asked)} of {n_expected} participants came within {timeout_s:g} s"
        remedy = "start the others, or lower federation.n_participants"
        if self.parties is not None:
            there = {party.name for party in nodes.parties.values()}
            missing = [party.name for party in self.parties.wanted if party.name not in there]
            said = f"{len(nodes.asked)} of {n_expected} nodes came within {timeout_s:g} s"
            said += f", and {', '.join(missing)} did not" if missing else ""
            remedy = "start theirs, or set federation.quorum to go on without some"
        for refusal in nodes.refusals[:3]:
            said += f"; node {refusal.node_id} is left out: {refusal.reason}"
        return f"{said}; {remedy}."
