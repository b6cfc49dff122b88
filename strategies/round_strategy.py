"""What the ServerApp needs of a strategy: a Flower strategy that reports on its rounds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedtrade.corrections import ClientCorrection
from strategies.replies import Refusal
from strategies.trust import Plain, TrustMode

__all__ = ["RootUpdate", "RoundReport", "RoundStrategy"]

RootUpdate: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From the global vector to the update that trusted data give, as long as a participant's."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What happened in the last round of training.

    Attributes
    ----------
    n_replies : int
        Usable ones.
    refusals : tuple of Refusal
        Of replies, and of nodes that did not answer.
    loss : float
        Mean of what was reported, NaN if nobody did.
    update_norm : float
        Of what was added to the global vector.
    weights : mapping of int to float
        Each node's share in the aggregate; empty if the rule does not tell.
    skipped : str
        Why the model was kept; empty if it was not.
    """

    n_replies: int
    refusals: tuple[Refusal, ...]
    loss: float
    update_norm: float
    weights: Mapping[int, float] = field(default_factory=dict)
    skipped: str = ""


class RoundStrategy(Strategy):
    """A strategy that the ServerApp can run: it trains members and keeps its memory as a value.

    Attributes
    ----------
    nodes : sequence of int or None
        Those that may train, as far as they are connected; None for all of the grid's.
    names : mapping of int to str
        What to call a node in the log, where it has a name.
    reply_timeout_s : float or None
        Time to live of the messages; None for Flower's default.
    last_round : RoundReport or None
        Of the latest `aggregate_train`.
    client_correction : ClientCorrection
        What is asked of local training.
    needs_root : bool
        Whether `root_update` is needed.
    root_update : callable or None
        Set for each episode; see `RootUpdate`.
    trust_mode : TrustMode
        Who sees what of the updates.
    """

    nodes: Sequence[int] | None = None
    names: Mapping[int, str] = MappingProxyType({})
    reply_timeout_s: float | None = None
    last_round: RoundReport | None = None
    client_correction: ClientCorrection = ClientCorrection()
    needs_root: bool = False
    root_update: RootUpdate | None = None
    trust_mode: TrustMode = Plain()

    def check(self, n_nodes: int) -> None:
        """Refuse what can never work with so many nodes; nothing by default.

        Raises
        ------
        ConfigurationError
            Naming the values and the remedy.
        """

    def n_needed(self, n_nodes: int) -> tuple[int, int]:
        """Of so many nodes, how many are asked in a round, and the fewest replies that it needs."""
        return n_nodes, 1

    def state_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that is remembered from one round of an episode to the next."""
        return {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Remember what `state_arrays` gave; of an empty mapping, begin anew."""

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nothing: the model is scored once an episode, after its last round."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Nothing, as nothing was asked for."""
        return None
