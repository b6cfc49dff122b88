"""Rows of the mode `plain`: one a participant, or the means of random groups."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedtrade.errors import ConfigurationError
from fedtrade.secure import PlainAggregation
from simulations.grid import InProcessGrid
from strategies.robust import RobustAggregation
from strategies.trust import Plain, Row

N = 10
START = np.zeros(2, dtype=np.float32)


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with InProcessGrid(ClientApp(), N) as opened:
        yield opened


def _grouped(group_size: int | None, **options: Any) -> RobustAggregation:
    strategy = RobustAggregation(**options)
    strategy.trust_mode = Plain(PlainAggregation(group_size=group_size))
    return strategy


def _ask(strategy: RobustAggregation, grid: Grid, number: int = 1) -> list[Message]:
    arrays = ArrayRecord({"vector": Array(START)})
    return list(strategy.configure_train(number, arrays, ConfigRecord({"episode": 0}), grid))


def _reply(message: Message, update: Any, n_examples: int = 1) -> Message:
    arrays = ArrayRecord({"update": Array(np.array(update, dtype=np.float32))})
    metrics = MetricRecord({"num-examples": n_examples, "loss": float(n_examples)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def _round(
    strategy: RobustAggregation,
    grid: Grid,
    replies: Callable[[int, Message], Message | None],
    number: int = 1,
) -> list[Row]:
    """The rows of a round, in which node k of the grid answers as told."""
    messages = _ask(strategy, grid, number)
    found = [replies(k, message) for k, message in enumerate(messages)]
    assert strategy._round is not None
    rows = strategy.trust_mode.read_training(
        grid, [reply for reply in found if reply is not None], strategy._round.request
    )
    return rows.rows


def test_a_row_is_a_participant_or_the_mean_of_a_group(grid: Grid) -> None:
    """Ten participants with updates (k, 0): three groups, of 3, 3 and 4 members."""
    nodes = sorted(grid.get_node_ids())

    def reply(k: int, message: Message) -> Message:
        return _reply(message, [nodes.index(message.metadata.dst_node_id), 0.0])

    alone = _round(_grouped(None), grid, reply)
    assert [row.nodes for row in alone] == [(node,) for node in nodes]
    rows = _round(_grouped(3), grid, reply)
    assert sorted(len(row.nodes) for row in rows) == [3, 3, 4]
    assert sorted(node for row in rows for node in row.nodes) == nodes
    for row in rows:
        numbers = [nodes.index(node) for node in row.nodes]
        np.testing.assert_allclose(row.update, [np.mean(numbers), 0.0], rtol=1e-6)
        assert (row.n_examples, row.loss) == (len(numbers), 1.0)


def test_members_of_a_group_count_by_their_examples_if_asked_to(grid: Grid) -> None:
    rows = _round(
        _grouped(5, weights="examples"), grid, lambda k, message: _reply(message, [k, 1.0], 1 + k)
    )
    for row in rows:
        assert row.update[1] == 1.0
        assert row.n_examples == pytest.approx(row.loss * row.n_examples / row.loss)
    assert sum(row.n_examples for row in rows) == sum(range(1, N + 1))
    total = sum(row.update[0] * row.n_examples for row in rows)
    assert total == pytest.approx(sum(k * (k + 1) for k in range(N)))


def test_groups_are_drawn_anew_in_each_round_and_by_the_seed(grid: Grid) -> None:
    def groups(seed: int, number: int) -> set[frozenset[int]]:
        strategy = _grouped(5, seed=seed)
        rows = _round(strategy, grid, lambda k, message: _reply(message, [0.0, 0.0]), number)
        return {frozenset(row.nodes) for row in rows}

    assert groups(0, 1) == groups(0, 1)
    assert len({frozenset(groups(0, number)) for number in range(1, 9)}) > 5
    assert groups(0, 1) != groups(1, 1)


def test_those_who_are_silent_leave_their_group_smaller(grid: Grid) -> None:
    """A group of which nobody answered is no row."""
    strategy = _grouped(2)
    rows = _round(strategy, grid, lambda k, message: _reply(message, [0.0, 0.0]))
    gone = {*rows[0].nodes, rows[1].nodes[0]}
    left = _round(
        strategy,
        grid,
        lambda k, message: (
            None if message.metadata.dst_node_id in gone else _reply(message, [0.0, 0.0])
        ),
    )
    assert sorted(len(row.nodes) for row in left) == [1, 2, 2, 2]


def test_liars_are_counted_up_where_groups_hide_them() -> None:
    """A tenth of 25 are 2.5: two that a rule sees one by one, or three spoilt groups."""
    assert Plain().n_liars(0.1, 25) == 2
    assert Plain(PlainAggregation(group_size=3)).n_liars(0.1, 25) == 3
    assert Plain(PlainAggregation(group_size=3)).n_liars(0.07, 100) == 7
    assert Plain(PlainAggregation(group_size=3)).n_liar_rows(9, 25) == 8


def test_groups_that_liars_can_outnumber_are_refused_with_the_numbers() -> None:
    """The median of G rows withstands f < G / 2: with 2 of 20 liars G = 5 do, 4 do not."""
    options: dict[str, Any] = {"rule": "median", "byzantine_share": 0.1}
    _grouped(4, **options).check(20)
    with pytest.raises(ConfigurationError) as caught:
        _grouped(5, **options).check(20)
    assert "group_size=5 makes floor(20 / 5) = 4 groups" in str(caught.value)
    assert "ceil(0.1 * 20) = 2 may be bad: the rule needs 5 rows then" in str(caught.value)
    assert "Groups of 4 at most fit" in str(caught.value)
    assert "m < 1 / (2e), so 4 at most" in str(caught.value)
    with pytest.raises(ConfigurationError, match="group_size=21 must be 1 to the number"):
        _grouped(21).check(20)


def test_a_rule_that_remembers_participants_needs_to_see_them() -> None:
    _grouped(None, rule="foolsgold").check(10)
    with pytest.raises(ConfigurationError, match=r"foolsgold remembers each participant's updates"):
        _grouped(2, rule="foolsgold").check(10)


def test_the_median_of_groups_is_that_of_their_means(grid: Grid) -> None:
    """One liar spoils one group of three, and no more."""
    strategy = _grouped(3, rule="median", byzantine_share=0.1)
    messages = _ask(strategy, grid)
    liar = messages[0].metadata.dst_node_id
    replies = [_reply(m, [1e4 if m.metadata.dst_node_id == liar else 1.0, 0.5]) for m in messages]
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is not None
    assert strategy.last_round is not None
    found = arrays["vector"].numpy().tolist()
    assert found == [1.0, 0.5]
    assert strategy.last_round.n_replies in (N, N - 1)
