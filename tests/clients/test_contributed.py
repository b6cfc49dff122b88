"""Nobody contributes twice to the same thing."""

from collections.abc import Iterator
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from clients.contributed import note_contribution
from fedtrade.errors import ReplayError
from fedtrade.wire import SUM
from simulations.task_identity import Identity, task_identity


@pytest.fixture
def context() -> Iterator[Context]:
    with task_identity(Identity(1)):  # without a run there are no messages
        yield Context(1, 2, {}, RecordDict(), {})


def _note(context: Context, kind: str = MessageType.TRAIN, **config: Any) -> None:
    named = {name.replace("_", "-"): value for name, value in config.items()}
    content = RecordDict({"config": ConfigRecord(named)})
    note_contribution(Message(content, 2, kind), context)


def test_each_round_is_contributed_to_once(context: Context) -> None:
    for number in (1, 2, 3):
        _note(context, server_round=number, episode=0)
    with pytest.raises(
        ReplayError, match="second contribution is asked for to train 3 of episode 0"
    ):
        _note(context, server_round=3, episode=0)
    for number in (1, 2):
        with pytest.raises(ReplayError, match=f"to round {number} is asked for, .* to round 3"):
            _note(context, server_round=number, episode=0)
    _note(context, server_round=4, episode=0)


@pytest.mark.parametrize("number", ["5", 5.5, [5], True])
def test_rounds_have_whole_numbers(context: Context, number: Any) -> None:
    """Or one could be had under any number of names."""
    with pytest.raises(ReplayError, match="a contribution to round"):
        _note(context, server_round=number, episode=0)


def test_rounds_of_the_next_episode_are_others_and_there_is_no_way_back(context: Context) -> None:
    _note(context, server_round=1, episode=0)
    _note(context, server_round=1, episode=1)
    for number in (1, 2):
        with pytest.raises(ReplayError, match=r"to episode 0 is asked for, and .* has come"):
            _note(context, server_round=number, episode=0)
    with pytest.raises(ReplayError, match="second contribution"):
        _note(context, server_round=1, episode=1)
    _note(context, server_round=1, episode=7)


def test_a_sum_is_known_by_its_name(context: Context) -> None:
    """A number of a round beside it changes nothing, or it could be had as often as one likes."""
    _note(context, SUM, sum="moments", episode=0)
    _note(context, SUM, sum="counts", episode=0)
    for number in (0, 1, 2):
        with pytest.raises(ReplayError, match=r"asked for to query\.sum moments 0 of episode 0"):
            _note(context, SUM, sum="moments", episode=0, server_round=number)
    _note(context, SUM, sum="moments", episode=1)


def test_scores_are_added_once_an_episode(context: Context) -> None:
    _note(context, MessageType.EVALUATE, episode=0)
    with pytest.raises(ReplayError, match="asked for to evaluate 0 of episode 0"):
        _note(context, MessageType.EVALUATE, episode=0, server_round=3)
    _note(context, MessageType.TRAIN, episode=0, server_round=0)
    _note(context, MessageType.EVALUATE, episode=1)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (MessageType.TRAIN, {"server_round": 1, "sum": "moments"}),
        ("train.default", {"server_round": 1}),
        ("train.default", {"server_round": 1, "sum": "moments"}),
        (MessageType.EVALUATE, {"sum": "moments"}),
        ("evaluate.default", {}),
        ("evaluate.default", {"server_round": 2}),
    ],
)
def test_there_is_one_name_for_each_round_and_evaluation(
    context: Context, kind: str, config: dict[str, Any]
) -> None:
    """Flower knows two types for one thing, and a server can put more into a message."""
    _note(context, MessageType.TRAIN, server_round=1, episode=0)
    _note(context, MessageType.EVALUATE, episode=0)
    with pytest.raises(ReplayError, match="second contribution"):
        _note(context, kind, episode=0, **config)


@pytest.mark.parametrize("episode", ["0", 0.5, b"0", [0], -1, True])
def test_an_episode_is_a_number(context: Context, episode: Any) -> None:
    with pytest.raises(ReplayError, match=r"a contribution to episode .* is asked for"):
        _note(context, episode=episode, server_round=1)
    assert len(context.state) == 0


def test_a_message_that_says_nothing_is_one_thing_too(context: Context) -> None:
    for kind in (MessageType.TRAIN, SUM):
        note_contribution(Message(RecordDict(), 2, kind), context)
        with pytest.raises(ReplayError, match="second contribution"):
            note_contribution(Message(RecordDict(), 2, kind), context)
