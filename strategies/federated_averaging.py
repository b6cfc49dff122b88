"""Federated averaging of updates, as a Flower Message-API strategy.

Participants send the difference between their vector and the global one; the strategy adds the
aggregate of these updates to the global vector. McMahan et al. (2017), algorithm 1,
https://arxiv.org/abs/1602.05629, which for a server learning rate of 1 this equals.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from logging import INFO, WARNING
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.components import factory
from fedtrade.robust import weighted_mean
from fedtrade.settings import Component
from fedtrade.wire import ARRAYS, CONFIG, VECTOR
from strategies.replies import Refusal, read_updates

__all__ = ["FederatedAveraging", "RoundReport"]


AggregationRule: TypeAlias = Callable[
    [NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]
]


class RoundReport(NamedTuple):
    """What happened in the last round of training."""

    n_replies: int
    refusals: tuple[Refusal, ...]
    loss: float
    update_norm: float


class FederatedAveraging(Strategy):
    """Aggregate updates, by default to their mean under the number of examples behind them.

    Parameters
    ----------
    fraction_train : float
        Share of the nodes that train in a round, in (0, 1]; at least one.
    server_learning_rate : float
        What the aggregate is multiplied by, positive.
    rule : callable or mapping
        From updates (n_clients, n_params) and their weights (n_clients,) to one update
        (n_params,); or the settings of one, its import path under `_target_`.
    seed : int
        Of the choice of nodes.

    Attributes
    ----------
    last_round : RoundReport or None
        Of the latest `aggregate_train`.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """

    def __init__(
        self,
        *,
        fraction_train: float = 1.0,
        server_learning_rate: float = 1.0,
        rule: AggregationRule | Mapping[str, Any] = weighted_mean,
        seed: int = 0,
    ) -> None:
        if not 0.0 < fraction_train <= 1.0:
            raise ValueError(f"fraction_train must be in (0, 1], got {fraction_train}.")
        if not server_learning_rate > 0.0:
            raise ValueError(f"server_learning_rate must be positive, got {server_learning_rate}.")
        self._fraction_train = fraction_train
        self._server_learning_rate = server_learning_rate
        self._seed = seed
        self._rule = _built(rule) if isinstance(rule, Mapping) else rule
        self._vector: NDArray[np.float32] | None = None
        self._asked: tuple[int, ...] = ()
        self.last_round: RoundReport | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global vector, and whatever else is in `arrays`, to a sample of the nodes."""
        self._vector = arrays[VECTOR].numpy().astype(np.float32)
        nodes = sorted(grid.get_node_ids())
        n_chosen = max(1, round(self._fraction_train * len(nodes)))
        if n_chosen < len(nodes):
            draw = random.Random(f"{self._seed}/{config.get('episode', 0)!r}/{server_round}")
            nodes = sorted(draw.sample(nodes, n_chosen))
        self._asked = tuple(nodes)
        config["server-round"] = server_round
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        return [Message(content, node, MessageType.TRAIN) for node in nodes]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the weighted mean of the usable updates to the global vector.

        Without any, the vector stays as it is and nothing is returned.
        """
        if self._vector is None:
            raise RuntimeError("aggregate_train was called before configure_train.")
        results, refusals = read_updates(replies, len(self._vector))
        heard = {result.node_id for result in results} | {refusal.node_id for refusal in refusals}
        refusals += [Refusal(node, "no reply in time") for node in self._asked if node not in heard]
        for refusal in refusals:
            log(WARNING, "round %s: node %s: %s", server_round, *refusal)
        results = [result for result in results if result.n_examples > 0]
        if not results:
            log(WARNING, "round %s: no usable reply; the model is kept.", server_round)
            self.last_round = RoundReport(0, tuple(refusals), float("nan"), 0.0)
            return None, None
        weights = np.array([result.n_examples for result in results], dtype=np.float64)
        update = self._rule(np.stack([result.update for result in results]), weights)
        step = np.float32(self._server_learning_rate) * update
        self._vector = self._vector + step
        loss = float(np.average([result.loss for result in results], weights=weights))
        norm = float(np.linalg.norm(step.astype(np.float64)))
        self.last_round = RoundReport(len(results), tuple(refusals), loss, norm)
        arrays = ArrayRecord({VECTOR: Array(self._vector)})
        return arrays, MetricRecord({"loss": loss, "update-norm": norm})

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

    def summary(self) -> None:
        """Log the strategy's settings."""
        log(
            INFO,
            "\t└──> Federated averaging of updates: fraction %.2f, server learning rate %.3g",
            self._fraction_train,
            self._server_learning_rate,
        )


def _built(rule: Mapping[str, Any]) -> AggregationRule:
    return factory(Component.model_validate(rule), "strategy.rule")
