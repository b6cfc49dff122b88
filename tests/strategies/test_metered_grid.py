"""Three nodes that echo, or say how long they are; sizes can be added in the head."""

from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.report.privacy import Traffic
from fedtrade.wire import DESCRIBE, SECURE, SUM
from simulations.grid import InProcessGrid
from strategies.metered_grid import MeteredGrid, payload_bytes

HEADER = 128
"""Bytes of NumPy's format before the values."""


def reply(message: Message, context: Context) -> Message:
    """As many bytes as the number of the participant, under a name of one letter."""
    number = int(context.node_config["partition-id"])
    if number == 2 and message.metadata.message_type == "evaluate":
        raise ValueError("not today")
    content = RecordDict({"r": ConfigRecord({"x": b"y" * number})})
    return Message(content, reply_to=message)


app = ClientApp()
app.train()(reply)
app.evaluate()(reply)
for name in (DESCRIBE, SUM, SECURE):
    app.query(name.removeprefix("query."))(reply)


def content(size: int = 8) -> RecordDict:
    """`size` bytes, of which two are names."""
    return RecordDict({"r": ConfigRecord({"x": b"y" * (size - 2)})})


@pytest.fixture
def grid() -> Iterator[MeteredGrid]:
    with InProcessGrid(app, 3) as inner:
        yield MeteredGrid(inner)


def ask(grid: MeteredGrid, kind: str, sizes: dict[int, int] | None = None) -> list[Message]:
    """A message to each node, or one of the size given to some of them."""
    nodes = list(grid.get_node_ids())
    wanted = {0: 8, 1: 8, 2: 8} if sizes is None else sizes
    messages = [Message(content(size), nodes[i], kind) for i, size in wanted.items()]
    return list(grid.send_and_receive(messages))


def by_kind(grid: MeteredGrid) -> dict[str, Traffic]:
    return {found.kind: found for found in grid.traffic()}


def test_the_payload_is_names_and_values() -> None:
    array = Array(np.zeros(4, dtype=np.float32))
    record = RecordDict(
        {
            "arrays": ArrayRecord({"ab": array}),
            "config": ConfigRecord({"n": 1, "text": "ab", "raw": b"abc", "list": [1.0, 2.0]}),
            "empty": ConfigRecord({"none": [], "bytes": b""}),
            "metrics": MetricRecord({"m": 1.0, "ms": [1, 2, 3]}),
        }
    )
    arrays = 6 + 2 + HEADER + 16
    config = 6 + (1 + 8) + (4 + 2) + (3 + 3) + (4 + 16)
    assert payload_bytes(record) == arrays + config + (5 + 4 + 5) + (7 + (1 + 8) + (2 + 24))


def test_both_ways_are_counted_by_node(grid: MeteredGrid) -> None:
    """Replies are of 2, 3 and 4 bytes."""
    ask(grid, "train", {0: 8, 1: 8, 2: 20})
    ask(grid, "train")
    found = by_kind(grid)["training"]
    assert (found.n_times, found.n_exchanges) == (2, 2)
    assert (found.mean_bytes_down, found.most_bytes_down) == ((16 + 16 + 28) / 3, 28)
    assert (found.mean_bytes_up, found.most_bytes_up) == (6, 8)


def test_stages_belong_to_what_came_before_them(grid: MeteredGrid) -> None:
    for kind in (DESCRIBE, SECURE, SECURE, SUM, SECURE, "train", SECURE, SECURE, "evaluate"):
        ask(grid, kind)
    found = by_kind(grid)
    counts = {kind: (each.n_times, each.n_exchanges) for kind, each in found.items()}
    assert counts == {
        "joining": (1, 3),
        "sum": (1, 2),
        "training": (1, 3),
        "evaluation": (1, 1),
        "run": (1, 9),
    }
    assert found["training"].mean_bytes_down == 24
    assert found["training"].mean_bytes_up == 9
    assert found["run"].mean_bytes_down == 72


def test_a_stage_may_travel_with_training(grid: MeteredGrid) -> None:
    """One exchange, of the kind that is no stage."""
    nodes = list(grid.get_node_ids())
    kinds = (SECURE, "train", "train")
    grid.send_and_receive([Message(content(), n, k) for n, k in zip(nodes, kinds, strict=True)])
    found = by_kind(grid)
    assert set(found) == {"training", "run"}
    assert found["training"].n_exchanges == 1
    assert found["training"].mean_bytes_down == 8


def test_errors_have_no_payload(grid: MeteredGrid) -> None:
    ask(grid, "evaluate")
    found = by_kind(grid)["evaluation"]
    assert (found.mean_bytes_up, found.most_bytes_up) == ((2 + 3) / 3, 3)


def test_pushing_and_pulling_is_one_exchange(grid: MeteredGrid) -> None:
    messages = [Message(content(), node, "train") for node in grid.get_node_ids()]
    ids = list(grid.push_messages(messages))
    assert len(list(grid.pull_messages(ids[:1]))) == 1
    assert len(list(grid.pull_messages(ids[1:]))) == 2
    found = by_kind(grid)["training"]
    assert (found.n_exchanges, found.mean_bytes_down, found.mean_bytes_up) == (1, 8, 3)


def test_messages_made_on_the_way_are_counted_as_they_pass(grid: MeteredGrid) -> None:
    """The generator reuses one content and lengthens it."""
    shared = content()

    def made() -> Iterator[Message]:
        for number, node in enumerate(grid.get_node_ids()):
            shared.config_records["r"]["x"] = bytes(8 + 2 * number)
            yield Message(shared, node, "train")

    assert len(list(grid.send_and_receive(made()))) == 3
    found = by_kind(grid)["training"]
    assert (found.mean_bytes_down, found.most_bytes_down) == (12, 14)


def test_nothing_sent_is_no_exchange(grid: MeteredGrid) -> None:
    assert list(grid.send_and_receive([])) == []
    (run,) = grid.traffic()
    assert (run.kind, run.n_exchanges, run.mean_bytes_down) == ("run", 0, 0)


def test_a_party_of_its_own_is_told_apart(grid: MeteredGrid) -> None:
    """Who was asked nothing counts with zero bytes."""
    ask(grid, "train", {0: 10, 1: 30})
    first, second, third = grid.get_node_ids()
    assert grid.traffic([first, third])[0].mean_bytes_down == 5
    (holder, _) = grid.traffic([second], "key holder")
    assert (holder.party, holder.mean_bytes_down, holder.mean_bytes_up) == ("key holder", 30, 3)


def test_everything_else_is_the_grid_inside(grid: MeteredGrid) -> None:
    grid.set_run(grid.run)
    (node, *_) = grid.get_node_ids()
    message = grid.create_message(content(), "train", node, "group")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (node, "group")
