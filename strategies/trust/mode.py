"""The seam between a strategy and the trust modes: who sees what of the participants' vectors.

A strategy asks a mode for rows to aggregate. In `plain` a row is one participant's update; where
only sums may be seen it is the mean of all, or of a random group. A mode may need further exchanges
after the replies to the training messages; it makes them over the grid while it reads.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure.statement import PrivacyStatement
from fedtrade.wire import SUM
from strategies.membership import Membership
from strategies.replies import LocalResult, Refusal
from strategies.round_rule import RoundRule

__all__ = ["Row", "Rows", "Summed", "TrainingRequest", "TrustMode"]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What is asked of the nodes in one round of training.

    Attributes
    ----------
    nodes : tuple of int
    group_id : str
        Names the round in messages and their replies.
    n_params, n_parts : int
        A row is `n_parts` vectors of length n_params, one behind the other.
    by_examples : bool
        Whether participants count by their examples, or else alike.
    max_norm_ratio : float
        See `strategies.screening.screen`.
    ttl_s : float or None
        Time to live of the messages, and the time to wait for further ones.
    draw : tuple of int
        Seed of whatever the server may draw by itself.
    clip : float or None
        Largest norm of an update, if there is noise on their sum.
    """

    nodes: tuple[int, ...]
    group_id: str
    n_params: int
    n_parts: int
    by_examples: bool
    max_norm_ratio: float
    ttl_s: float | None
    draw: tuple[int, ...] = (0,)
    clip: float | None = None

    @property
    def n_values(self) -> int:
        """Length of a row."""
        return self.n_parts * self.n_params


class Row(NamedTuple):
    """One row to aggregate.

    Attributes
    ----------
    nodes : tuple of int
        Whose updates are in it.
    update : float32 of shape (n_values,)
        Their mean, by examples if asked for.
    n_examples : float
        Of all of them, as they say; their number if they count alike.
    loss : float
        Their mean; NaN if nobody says.
    """

    nodes: tuple[int, ...]
    update: NDArray[np.float32]
    n_examples: float
    loss: float


class Rows(NamedTuple):
    """What a round gave.

    Attributes
    ----------
    rows : list of Row
    refusals : list of Refusal
    n_broken : int
        Nodes of those asked that answered, though nothing that can be used.
    problem : str
        Why there are no rows, or fewer than there should be; empty if nothing is wrong.
    share_within : float or None
        Of the updates whose norm was within the clip, with noise, where it is asked for.
    """

    rows: list[Row]
    refusals: list[Refusal]
    n_broken: int = 0
    problem: str = ""
    share_within: float | None = None

    @property
    def n_replies(self) -> int:
        """Nodes whose update is in a row."""
        return sum(len(row.nodes) for row in self.rows)


class Summed(NamedTuple):
    """One federated sum.

    Attributes
    ----------
    total : float64 array or None
        None if there is none.
    refusals : list of Refusal
    problem : str
        Why there is no total.
    arms : tuple of str
        That scores are of, as most say in the clear; empty for a sum of something else.
    """

    total: NDArray[np.float64] | None
    refusals: list[Refusal]
    problem: str = ""
    arms: tuple[str, ...] = ()


class TrustMode(ABC):
    """How participants' vectors reach a strategy.

    Attributes
    ----------
    name : str
        As in `conf/aggregation`.
    shows_each : bool
        Whether a row is one participant's update, so that a rule can remember participants.
    next_is_training : bool or None
        What is asked for after the present sum or round, as far as is known: what is set up ahead
        may depend on it. None: the same again.
    noise : NoisyVectors or None
        What protects participants in what is added up; None if nothing does.
    """

    name: str
    shows_each: bool
    next_is_training: bool | None = None
    noise: NoisyVectors | None = None

    # --- what a rule sees -----------------------------------------------------------------------

    @abstractmethod
    def n_rows(self, n_asked: int) -> int:
        """Rows that so many participants give."""

    def n_liars(self, share: float, n_asked: int) -> int:
        """Liars among the participants asked, of an expected share of them."""
        return math.floor(share * n_asked + 1e-9)  # 0.29 * 100 is 28.999...

    def n_liar_rows(self, n_liars: int, n_asked: int) -> int:
        """Rows that so many liars can spoil: each one at most its own."""
        return min(n_liars, self.n_rows(n_asked))

    @abstractmethod
    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """Refuse a rule, or a number of participants, that can never work in this mode.

        Raises
        ------
        ConfigurationError
            Naming the values and the remedy.
        ValueError
            If the rule cannot withstand so many liars among so many rows.
        """

    def check_values(  # noqa: B027  most modes have no bounds
        self, n_participants: int, *, by_examples: bool
    ) -> None:
        """Refuse bounds of values with which no sum of so many can be had; nothing by default.

        Raises
        ------
        ConfigurationError
            With the numbers.
        """

    @abstractmethod
    def statement(self, n_participants: int) -> PrivacyStatement:
        """Who learns what, among so many that have joined, apart from the evaluation.

        Raises
        ------
        ConfigurationError, ThresholdError
            If the mode cannot be with so many.
        """

    # --- joining --------------------------------------------------------------------------------

    def greeting(self) -> Mapping[str, ConfigRecord]:
        """Records that a participant finds in the first message of a run."""
        return {}

    def join(self, grid: Grid, members: Membership, ttl_s: float) -> Membership:
        """Begin a run with those who answered the greeting; those who cannot join are left out.

        Raises
        ------
        FedtradeError
            If the participants do not allow the mode at all.
        """
        return members

    def rows(self, results: Sequence[LocalResult], request: TrainingRequest) -> list[Row]:
        """What a rule would see of participants' updates, if anybody saw them."""
        return [Row((r.node_id,), r.update, r.n_examples, r.loss) for r in results]

    # --- adding up ------------------------------------------------------------------------------

    @abstractmethod
    def ask_training(self, content: RecordDict, request: TrainingRequest) -> list[Message]:
        """The messages that ask for training, each with `content` and what the mode needs."""

    @abstractmethod
    def read_training(
        self, grid: Grid, replies: Iterable[Message], request: TrainingRequest
    ) -> Rows:
        """The rows of a round; what cannot be used costs its sender alone."""

    @abstractmethod
    def add_up(
        self,
        grid: Grid,
        nodes: Sequence[int],
        arrays: Mapping[str, NDArray[Any]],
        config: Mapping[str, int | str],
        ttl_s: float,
        message_type: str = SUM,
    ) -> Summed:
        """Ask the nodes for their parts of a federated sum and add them.

        Those of the shape and the arms that most say theirs are of; the others are refused.
        """
