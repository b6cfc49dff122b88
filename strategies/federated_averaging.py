"""Federated averaging of updates, as a Flower Message-API strategy.

Participants send the difference between their vector and the global one; the strategy adds the
aggregate of these updates to the global vector. McMahan et al. (2017), algorithm 1,
https://arxiv.org/abs/1602.05629, which for a server learning rate of 1 this equals.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from strategies.replies import LocalResult, Refusal, read_updates

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
    max_weight_ratio : float
        The most that a participant weighs, in medians of the round's numbers of examples (of an
        even number of replies the lower one in the middle); at least 1. Nobody can check how many
        examples another one has, and without a bound a single lie is the whole mean. In a cold
        start incumbents have about 25 times the examples of a newcomer, so that 50 leaves honest
        replies alone.
    rule : callable or mapping
        From updates (n_clients, n_params) and their weights (n_clients,) to one update
        (n_params,); or the settings of one, its import path under `_target_`.
    seed : int
        Of the choice of nodes.

    Attributes
    ----------
    nodes : sequence of int or None
        Those that may train, as far as they are connected; None for all of the grid's.
    reply_timeout_s : float or None
        Time to live of the messages; None for Flower's default.
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
        max_weight_ratio: float = 50.0,
        rule: AggregationRule | Mapping[str, Any] = weighted_mean,
        seed: int = 0,
    ) -> None:
        if not 0.0 < fraction_train <= 1.0:
            raise ValueError(f"fraction_train must be in (0, 1], got {fraction_train}.")
        if not server_learning_rate > 0.0:
            raise ValueError(f"server_learning_rate must be positive, got {server_learning_rate}.")
        if not max_weight_ratio >= 1.0:
            raise ValueError(f"max_weight_ratio must be at least 1, got {max_weight_ratio}.")
        self._fraction_train = fraction_train
        self._server_learning_rate = server_learning_rate
        self._max_weight_ratio = max_weight_ratio
        self._seed = seed
        self._rule = _built(rule) if isinstance(rule, Mapping) else rule
        self._vector: NDArray[np.float32] | None = None
        self._asked: tuple[int, ...] = ()
        self.nodes: Sequence[int] | None = None
        self.reply_timeout_s: float | None = None
        self.last_round: RoundReport | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global vector, and whatever else is in `arrays`, to a sample of the nodes."""
        self._vector = arrays[VECTOR].numpy().astype(np.float32)
        nodes = sorted(self._eligible(grid))
        n_chosen = max(1, round(self._fraction_train * len(nodes)))
        if n_chosen < len(nodes):
            draw = random.Random(f"{self._seed}/{config.get('episode', 0)!r}/{server_round}")
            nodes = sorted(draw.sample(nodes, n_chosen))
        self._asked = tuple(nodes)
        config["server-round"] = server_round
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        ttl = self.reply_timeout_s
        return [Message(content, node, MessageType.TRAIN, ttl=ttl) for node in nodes]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the weighted mean of the usable updates to the global vector.

        Without any, or if that is not finite, the vector stays as it is and nothing is returned.
        """
        if self._vector is None:
            raise RuntimeError("aggregate_train was called before configure_train.")
        results, refusals = self._read(replies, len(self._vector))
        for refusal in refusals:
            log(WARNING, "round %s: node %s: %s", server_round, *refusal)
        if not results:
            log(WARNING, "round %s: no usable reply; the model is kept.", server_round)
            self.last_round = RoundReport(0, refusals, float("nan"), 0.0)
            return None, None
        weights = self._weights(results)
        loss = float(np.average([result.loss for result in results], weights=weights))
        step = self._step(results, weights)
        with np.errstate(over="ignore"):
            vector = self._vector + step
        if not np.isfinite(vector).all():
            log(WARNING, "round %s: the aggregate is not finite; the model is kept.", server_round)
            self.last_round = RoundReport(len(results), refusals, loss, 0.0)
            return None, None
        self._vector = vector
        norm = float(np.linalg.norm(step.astype(np.float64)))
        self.last_round = RoundReport(len(results), refusals, loss, norm)
        arrays = ArrayRecord({VECTOR: Array(self._vector)})
        return arrays, MetricRecord({"loss": loss, "update-norm": norm})

    def _eligible(self, grid: Grid) -> set[int]:
        connected = set(grid.get_node_ids())
        return connected if self.nodes is None else connected & set(self.nodes)

    def _read(
        self, replies: Iterable[Message], n_params: int
    ) -> tuple[list[LocalResult], tuple[Refusal, ...]]:
        """Usable replies that have examples, and who sent none that is usable."""
        results, refusals = read_updates(replies, n_params)
        heard = {result.node_id for result in results} | {refusal.node_id for refusal in refusals}
        refusals += [Refusal(node, "no reply in time") for node in self._asked if node not in heard]
        return [result for result in results if result.n_examples > 0], tuple(refusals)

    def _weights(self, results: Sequence[LocalResult]) -> NDArray[np.float64]:
        """Numbers of examples up to the largest one that is believed, shape (n_clients,)."""
        n_examples = np.array([result.n_examples for result in results], dtype=np.float64)
        # The lower median: of two participants, one that exaggerates cannot raise the bound.
        median = np.percentile(n_examples, 50.0, method="lower")
        return np.minimum(n_examples, self._max_weight_ratio * median)

    def _step(
        self, results: Sequence[LocalResult], weights: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """What is added to the vector; not finite where it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            update = self._rule(np.stack([result.update for result in results]), weights)
            step: NDArray[np.float32] = np.float32(self._server_learning_rate) * update
        return step

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
