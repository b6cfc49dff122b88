"""Modes in which only sums are seen: rows are means of all participants, or of random groups."""

import math
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError, ProtocolError, RangeError
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import PrivateAggregation
from fedtrade.secure.agreement import NAME_BYTES, agreed_run, agreed_settings
from fedtrade.secure.layout import Layout
from fedtrade.secure.payload import SUM as SUM_SEGMENT
from fedtrade.secure.payload import TrainingMean, training_mean
from fedtrade.secure.subject import NO_SUBJECT
from fedtrade.secure.wire import (
    GREETING,
    IDENTITY,
    KEY_BYTES,
    LARGEST_SUM,
    PROTOCOL_VERSION,
    REFUSED,
    ROUND,
    RUN,
    SESSION,
    SETTINGS,
    SHAPE,
    VERSION,
)
from fedtrade.wire import ARRAYS, CONFIG, SUM, printable
from strategies.exchange import array_record, receive
from strategies.membership import Membership
from strategies.replies import Refusal, is_refused
from strategies.round_rule import RoundRule
from strategies.trust.mode import Row, Rows, Summed, TrainingRequest, TrustMode

__all__ = [
    "Asked",
    "GroupTotal",
    "Opened",
    "PrivateMode",
    "PrivateSums",
    "Upload",
    "lost",
    "noisy_row",
    "read_identity",
    "read_round",
]

SUM_GROUP = "sum"
OTHER_ARMS = "its part of the sum is of other arms than most others'"
MOST_DIMENSIONS = 8
MOST_TRIES = 3
SLACK = 0.01
"""Of the bounds of means, for the noise of approximate sums."""


class Upload(NamedTuple):
    """What a node sent to be added, in the form of its mode.

    Attributes
    ----------
    parts : Any
        Masked words, or a signature under ciphertexts that were added already.
    shape : tuple of int
        Of the array in it, as the node says.
    arms : tuple of str
        Whose scores are in it, as the node says; none of other sums.
    """

    parts: Any
    shape: tuple[int, ...]
    arms: tuple[str, ...] = ()


class GroupTotal(NamedTuple):
    """The total of one group's members: words of the layout's ring, or real numbers."""

    nodes: tuple[int, ...]
    total: NDArray[Any]


class Opened(NamedTuple):
    """What a private sum gave.

    Attributes
    ----------
    n_spoilt : int
        Groups without a total because of somebody who lied, not of some who were silent.
    """

    totals: list[GroupTotal]
    refusals: list[Refusal]
    problem: str = ""
    n_spoilt: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which nodes a contribution is asked, and how.

    Attributes
    ----------
    nodes : sequence of int
    message_type, group_id : str
    ttl_s : float or None
    by_examples : bool
        See `TrainingRequest`.
    n_values : int or None
        Entries of a contribution, where the server knows them.
    """

    nodes: Sequence[int]
    message_type: str
    group_id: str
    ttl_s: float | None
    by_examples: bool = False
    n_values: int | None = None

    @property
    def is_training(self) -> bool:
        """Whether updates are asked for, or else parts of a federated sum."""
        return self.message_type == MessageType.TRAIN

    def noise(self, noise: NoisyVectors | None) -> NoisyVectors | None:
        """The noise, if it is on this sum."""
        is_covered = noise is not None and (
            self.is_training or (self.message_type == SUM and noise.covers_sums)
        )
        return noise if is_covered else None


class PrivateSums(ABC):
    """The exchanges that turn contributions into totals of which nobody sees the parts.

    Attributes
    ----------
    has_groups : bool
        Whether there are several totals, some of which can be lost while others are not.
    next_is_training, noise
        See `TrustMode`.
    run : 32 bytes
        The name by which parties with the same settings know the run.

    Parameters
    ----------
    settings : PrivateAggregation
    noise : NoisyVectors or None
        What is added to sums.
    brought : str
        Digest of all settings of the run.
    """

    has_groups: bool = False
    next_is_training: bool | None = None

    def __init__(
        self, settings: PrivateAggregation, noise: NoisyVectors | None = None, *, brought: str
    ) -> None:
        self.noise = noise
        agreed = None if noise is None else noise.agreed()
        name = os.urandom(NAME_BYTES)
        self.run = agreed_run(name, settings, agreed, brought=brought)
        told = agreed_settings(settings, agreed)
        begins = ConfigRecord({RUN: name, VERSION: PROTOCOL_VERSION, SETTINGS: told})
        self._greeting = {GREETING: begins}
        self._asked = NO_SUBJECT

    def greeting(self) -> Mapping[str, ConfigRecord]:
        """What begins a run: its name, the version, and settings that all parties must have."""
        return self._greeting

    @abstractmethod
    def join(self, grid: Grid, members: Membership, ttl_s: float) -> Membership:
        """See `TrustMode.join`."""

    @abstractmethod
    def ask(self, content: RecordDict, asked: Asked) -> list[Message]:
        """Messages that ask for contributions to one sum, each with `content`."""

    @abstractmethod
    def read(
        self, replies: Iterable[Message], asked: Asked
    ) -> tuple[dict[int, Upload], list[Refusal]]:
        """Contributions by node, and those who sent none that can be used."""

    @abstractmethod
    def layout(self, n_values: int, asked: Asked) -> Layout:
        """Of a sum with parts of `n_values` entries."""

    def decode(
        self, layout: Layout, total: NDArray[Any], n_members: int
    ) -> Mapping[str, NDArray[np.float64]]:
        """What a total of so many members' contributions stands for.

        Raises
        ------
        RangeError
            If no honest members make such a total.
        """
        return layout.decode(total, n_members)

    @abstractmethod
    def open(
        self, grid: Grid, uploads: Mapping[int, Upload], layout: Layout, ttl_s: float | None
    ) -> Opened:
        """Add the contributions and open the totals, by whatever exchanges that takes."""


class PrivateMode(TrustMode):
    """Rows are means over everybody, or over random groups.

    Parameters
    ----------
    settings : PrivateAggregation
    sums : PrivateSums
    """

    shows_each = False

    def __init__(self, settings: PrivateAggregation, sums: PrivateSums) -> None:
        self.settings = settings
        self.sums = sums
        self.noise = sums.noise

    @property
    def next_is_training(self) -> bool | None:
        """See `TrustMode`."""
        return self.sums.next_is_training

    @next_is_training.setter
    def next_is_training(self, value: bool | None) -> None:
        self.sums.next_is_training = value

    def n_rows(self, n_asked: int) -> int:
        """One."""
        return 1

    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """A mean of everybody at once, and enough of them."""
        if n_asked < n_participants:
            raise ConfigurationError(
                f"strategy.fraction_train asks {n_asked} of {n_participants} participants in a "
                f"round, and aggregation={self.name} needs all of them in each sum: set "
                "strategy.fraction_train=1, or aggregation=plain."
            )
        if n_participants < self.settings.min_contributors:
            raise ConfigurationError(
                f"aggregation.min_contributors={self.settings.min_contributors} cannot be reached "
                f"by {n_participants} participants: invite more, or lower it."
            )
        self.check_rule(rule, n_asked, n_liars)

    def check_rule(self, rule: RoundRule, n_asked: int, n_liars: int) -> None:
        """Refuse whatever needs to look at more than one row."""
        if rule.name != "mean" or n_liars:
            raise ConfigurationError(
                f"aggregation={self.name} opens one sum of all participants, in which "
                f"strategy.rule={rule.name} cannot tell {n_liars} liars from the others: set "
                "aggregation.group_size (masked) for a rule over the means of random groups, "
                "strategy=federated_averaging for their mean, or aggregation=plain."
            )

    def greeting(self) -> Mapping[str, ConfigRecord]:
        """See `PrivateSums`."""
        return self.sums.greeting()

    def join(self, grid: Grid, members: Membership, ttl_s: float) -> Membership:
        """See `PrivateSums`."""
        return self.sums.join(grid, members, ttl_s)

    def ask_training(self, content: RecordDict, request: TrainingRequest) -> list[Message]:
        """One message a node, and further ones to those who missed the last sum."""
        return self.sums.ask(content, _training(request))

    def read_training(
        self, grid: Grid, replies: Iterable[Message], request: TrainingRequest
    ) -> Rows:
        """Open the sum of the round, or those of its groups."""
        asked = _training(request)
        uploads, refusals = self.sums.read(replies, asked)
        layout = self.sums.layout(request.n_values, asked)
        wanted = (request.n_values,)
        opened = self._open_fitting(grid, uploads, wanted, layout, request.ttl_s, refusals)
        rows, refusals, problem = [], list(opened.refusals), opened.problem
        n_spoilt, share_within = opened.n_spoilt, None
        for nodes, total in opened.totals:
            try:
                found = self.sums.decode(layout, total, len(nodes))
                row: Row | None
                if self.noise is not None:
                    row, share_within = noisy_row(self.noise, nodes, found, request)
                else:
                    row = self._row(nodes, found)
            except RangeError as error:  # nobody can say who of them lied
                problem = problem or str(error)
                n_spoilt += 1
                refusals += lost(nodes, error) if self.sums.has_groups else []
                continue
            if row is None:
                problem = problem or "nobody has an example to learn from"
            else:
                rows.append(row)
        return Rows(rows, refusals, n_spoilt, problem, share_within)

    def _row(self, nodes: tuple[int, ...], total: Mapping[str, NDArray[np.float64]]) -> Row | None:
        """The weighted mean of those in a sum; None if nobody has a weight.

        Raises
        ------
        RangeError
            If no honest members make such a mean.
        """
        mean = training_mean(total)
        if mean is None:
            return None
        self._check_mean(mean)
        return Row(nodes, mean.update, mean.weight, mean.loss)

    def add_up(
        self,
        grid: Grid,
        nodes: Sequence[int],
        arrays: Mapping[str, NDArray[Any]],
        config: Mapping[str, int | str],
        ttl_s: float,
        message_type: str = SUM,
    ) -> Summed:
        """Open the total of the parts that fit together.

        Where too few have set up the sum nobody is asked for a part, and those who failed before
        are there again after two more: so that is tried a few times.
        """
        content = RecordDict({ARRAYS: array_record(arrays), CONFIG: ConfigRecord(dict(config))})
        asked = Asked(nodes, message_type, SUM_GROUP, ttl_s)
        refusals: list[Refusal] = []
        for _ in range(MOST_TRIES):
            messages = self.sums.ask(content, asked)
            replies = receive(grid, messages, ttl_s)
            summed = self._read_sum(grid, replies, asked)
            refusals += summed.refusals
            if any(ROUND in message.content.config_records for message in messages):
                break
        return summed._replace(refusals=refusals)

    def _read_sum(self, grid: Grid, replies: Iterable[Message], asked: Asked) -> Summed:
        uploads, refusals = self.sums.read(replies, asked)
        kinds = Counter((upload.shape, upload.arms) for upload in uploads.values())
        shape, arms = kinds.most_common(1)[0][0] if kinds else ((1,), ())
        layout = self.sums.layout(int(np.prod(shape)), asked)
        others = {node for node, upload in uploads.items() if upload.arms != arms}
        refusals += [Refusal(node, OTHER_ARMS) for node in sorted(others)]
        uploads = {node: upload for node, upload in uploads.items() if node not in others}
        opened = self._open_fitting(grid, uploads, shape, layout, asked.ttl_s, refusals)
        refusals, problem = list(opened.refusals), opened.problem
        parts = []
        for members, total in opened.totals:
            try:
                found = self.sums.decode(layout, total, len(members))
            except RangeError as error:  # nobody can say who of them lied
                problem = problem or str(error)
                refusals += lost(members, error) if self.sums.has_groups else []
                continue
            noise = asked.noise(self.noise)
            parts.append(found[SUM_SEGMENT] if noise is None else noise.total(found))
        if not parts:
            reasons = [problem, *(refusal.reason for refusal in refusals), "nobody is there"]
            return Summed(None, refusals, next(filter(None, reasons)))
        return Summed(np.sum(parts, axis=0).reshape(shape), refusals, arms=arms)

    def _check_mean(self, mean: TrainingMean) -> None:
        """Refuse what no mean of clipped values is, such as one by a weight that somebody made up.

        Raises
        ------
        RangeError
        """
        largest = float(np.abs(mean.update).max(initial=0.0))
        for name, found, bound in (
            ("update", largest, self.settings.clip),
            ("loss", abs(mean.loss), self.settings.max_loss),
        ):
            if found > (1.0 + SLACK) * bound:
                raise RangeError(
                    f"the mean {name} of the sum is {found:.3g}, and everybody's is clipped to "
                    f"{bound:g}: somebody sent what no honest member sends."
                )

    def _open_fitting(
        self,
        grid: Grid,
        uploads: Mapping[int, Upload],
        shape: tuple[int, ...],
        layout: Layout,
        ttl_s: float | None,
        refusals: list[Refusal],
    ) -> Opened:
        """Open the sum of the uploads that have a shape; the others are refused."""
        fitting = {node: upload for node, upload in uploads.items() if upload.shape == shape}
        odd = [
            Refusal(node, f"its part has the shape {upload.shape} and not {shape} as most others'")
            for node, upload in uploads.items()
            if upload.shape != shape
        ]
        found = self.sums.open(grid, fitting, layout, ttl_s)
        return found._replace(refusals=refusals + odd + found.refusals)


def lost(nodes: Sequence[int], error: Exception) -> list[Refusal]:
    """What is to say of everybody in a group whose sum cannot be used."""
    return [Refusal(node, printable(f"the sum of its group: {error}")) for node in nodes]


def _training(request: TrainingRequest) -> Asked:
    return Asked(
        request.nodes,
        MessageType.TRAIN,
        request.group_id,
        request.ttl_s,
        request.by_examples,
        request.n_values,
    )


def noisy_row(
    noise: NoisyVectors,
    nodes: tuple[int, ...],
    total: Mapping[str, NDArray[Any]],
    request: TrainingRequest,
) -> tuple[Row, float | None]:
    """The mean that follows from a total with noise, and the share of updates within the clip."""
    if request.clip is None:
        raise RuntimeError("the strategy names no clip, and there is noise in the size of one.")
    mean = noise.mean(total, len(nodes), request.clip)
    return Row(nodes, mean.update, float(len(nodes)), float("nan")), mean.share_within


def read_identity(answer: Message) -> bytes:
    """The public identity key in a participant's answer to the greeting.

    Raises
    ------
    ProtocolError
        If there is none.
    """
    record = answer.content.config_records.get(GREETING, ConfigRecord())
    key = record.get(IDENTITY)
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ProtocolError(f"it sent no public identity key of {KEY_BYTES} bytes")
    return key


def read_round(reply: Message, session: int, group_id: str) -> tuple[int, ...]:
    """The shape of the array in a contribution, as its sender says.

    Raises
    ------
    ProtocolError
        If the reply belongs to something else, says nothing that can be, or is a refusal.
    """
    if reply.metadata.group_id != group_id:
        raise ProtocolError(
            f"the reply is to round {reply.metadata.group_id[:64]!r}, and this is {group_id!r}"
        )
    record = reply.content.config_records.get(ROUND, ConfigRecord())
    if record.get(SESSION) != session:
        raise ProtocolError(f"the reply is to sum {record.get(SESSION)!r}, and this is {session}")
    if is_refused(reply):
        raise ProtocolError(str(record[REFUSED]))
    shape: Any = record.get(SHAPE)
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise ProtocolError("it does not say which shape its part has")
    if len(shape) > MOST_DIMENSIONS or math.prod(shape) > LARGEST_SUM:
        raise ProtocolError(f"its part has the absurd shape {tuple(shape[:MOST_DIMENSIONS])}")
    return tuple(shape)
