"""Every kind of damage changes a reply, and only the copy of it."""

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from simulations.attacks import Malformed
from simulations.attacks.malformed import ALL_KINDS, KINDS
from simulations.grid import InProcessGrid
from simulations.records import copy_message


@pytest.fixture
def reply() -> Iterator[Message]:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"update": Array(np.arange(5, dtype=np.float32))}),
            "metrics": MetricRecord({"num-examples": 7, "loss": 0.5}),
            "config": ConfigRecord({"a": "b"}),
        }
    )
    with InProcessGrid(ClientApp(), 1) as grid:
        (node,) = grid.get_node_ids()
        yield Message(content, reply_to=Message(RecordDict(), node, "train"))


def _written(message: Message) -> bytes:
    """Everything in a message."""
    parts = message.__dict__
    content = parts["_content"]
    records = {
        name: [
            (key, (v.dtype, v.shape, v.stype, v.data) if isinstance(v, Array) else v)
            for key, v in record.items()
        ]
        for name, record in ({} if content is None else content).items()
    }
    return pickle.dumps((records, vars(parts["_metadata"]), str(parts["_error"])))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_changes_the_reply(kind: str, reply: Message) -> None:
    before = _written(reply)
    sent = Malformed(kinds=[kind]).tamper(reply, np.random.default_rng(0))
    assert _written(sent) != before
    assert _written(reply) == before
    assert sent.metadata.src_node_id == reply.metadata.src_node_id
    assert _written(copy_message(sent)) == _written(sent)  # it can be delivered


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("names", [(), ("arrays",), ("metrics", "arrays")])
def test_damage_needs_no_particular_records(kind: str, names: tuple[str, ...]) -> None:
    records = {
        "arrays": ArrayRecord({"0": Array(np.zeros((2, 2))), "1": Array(np.zeros(()))}),
        "metrics": MetricRecord({}),
    }
    KINDS[kind](RecordDict({name: records[name] for name in names}))


def test_without_a_choice_all_kinds_are_drawn(reply: Message) -> None:
    rng = np.random.default_rng(0)
    seen = {_written(Malformed().tamper(reply, rng)) for _ in range(1500)}
    assert len(seen) >= len(ALL_KINDS) - 5  # some kinds look alike on this reply


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kinds must be of a NaN, .*; got 'nonsense'"):
        Malformed(kinds=["no loss", "nonsense"])
    with pytest.raises(ValueError, match="got none"):
        Malformed(kinds=[])
    with pytest.raises(ValueError, match="copies must be at least 1, got 0"):
        Malformed(copies=0)
