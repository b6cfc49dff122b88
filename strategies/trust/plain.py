"""The mode `plain`: the server sees each participant's update."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.secure import PlainAggregation
from fedtrade.secure.masked.graph import cohorts, permutation
from fedtrade.secure.statement import PrivacyStatement, plain_statement
from fedtrade.wire import SUM
from strategies.answers import Parts, read_sums
from strategies.exchange import ask
from strategies.replies import LocalResult
from strategies.round_rule import RoundRule
from strategies.screening import Screened, screen
from strategies.trust.grouping import check_groups, n_liars_rounded_up
from strategies.trust.mode import Row, Rows, Summed, TrainingRequest, TrustMode

__all__ = ["Plain"]


class Plain(TrustMode):
    """A row is one participant's update, or the mean of a random group to study its effect.

    Parameters
    ----------
    settings : PlainAggregation
    """

    name = "plain"

    def __init__(self, settings: PlainAggregation | None = None) -> None:
        self._settings = settings or PlainAggregation()
        self._group_size = self._settings.group_size
        self.shows_each = self._group_size is None

    def n_rows(self, n_asked: int) -> int:
        """One each, or one a group."""
        return n_asked if self._group_size is None else n_asked // self._group_size

    def n_liars(self, share: float, n_asked: int) -> int:
        """Rounded down, but up where groups hide them."""
        if self._group_size is None:
            return super().n_liars(share, n_asked)
        return n_liars_rounded_up(share, n_asked)

    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """Whether the rule withstands so many liars."""
        if self._group_size is None:
            rule.check(n_asked, n_liars)
        else:
            check_groups(rule, n_asked, n_liars, self._group_size)

    def statement(self, n_participants: int) -> PrivacyStatement:
        """The server learns everything."""
        return plain_statement(self._settings)

    def ask_training(self, content: RecordDict, request: TrainingRequest) -> list[Message]:
        """One message a node; its reply has the update."""
        return [
            Message(content, node, MessageType.TRAIN, ttl=request.ttl_s, group_id=request.group_id)
            for node in request.nodes
        ]

    def read_training(
        self, grid: Grid, replies: Iterable[Message], request: TrainingRequest
    ) -> Rows:
        """Screen the replies."""
        results, refusals, n_broken = self._screened(replies, request)
        return Rows(self.rows(results, request), refusals, n_broken)

    def _screened(self, replies: Iterable[Message], request: TrainingRequest) -> Screened:
        return screen(
            replies,
            asked=request.nodes,
            group_id=request.group_id,
            n_params=request.n_params,
            n_parts=request.n_parts,
            max_norm_ratio=request.max_norm_ratio,
        )

    def rows(self, results: Sequence[LocalResult], request: TrainingRequest) -> list[Row]:
        """What a rule sees of usable replies."""
        if self._group_size is not None:
            return _means(results, self._group_size, request)
        return [Row((r.node_id,), r.update, r.n_examples, r.loss) for r in results]

    def add_up(
        self,
        grid: Grid,
        nodes: Sequence[int],
        arrays: Mapping[str, NDArray[Any]],
        config: Mapping[str, int | str],
        ttl_s: float,
        message_type: str = SUM,
    ) -> Summed:
        """Ask for the parts and add those that fit together."""
        answers, refusals = ask(grid, nodes, message_type, arrays, config, ttl_s)
        parts = read_sums(answers)
        refusals += parts.refusals
        if not parts.values:
            return Summed(None, refusals, refusals[0].reason if refusals else "nobody is there")
        return Summed(self._total(parts, message_type), refusals, arms=parts.arms)

    def _total(self, parts: Parts, message_type: str) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.sum(parts.values, axis=0)
        return total


def _means(results: Sequence[LocalResult], group_size: int, request: TrainingRequest) -> list[Row]:
    """The mean of each random group of the nodes asked, of those in it with a usable update."""
    seed = hashlib.sha256(repr((request.draw, request.group_id)).encode()).digest()
    by_node = {result.node_id: result for result in results}
    nodes = sorted(request.nodes)
    rows = []
    for group in cohorts(permutation(seed, range(len(nodes))), group_size):
        found = [by_node[nodes[i]] for i in sorted(group) if nodes[i] in by_node]
        if not found:
            continue
        weights = np.array([r.n_examples if request.by_examples else 1 for r in found], np.float64)
        mean = np.average([r.update for r in found], axis=0, weights=weights)
        loss = float(np.average([r.loss for r in found], weights=weights))
        members = tuple(r.node_id for r in found)
        rows.append(Row(members, mean.astype(np.float32), float(weights.sum()), loss))
    return rows
