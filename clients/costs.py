"""What an answer costs a participant's privacy, by what is protected."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from flwr.app import Context, Message, MessageType

from clients.contributed import kind_of
from clients.participant import Participant
from fedtrade.privacy.events import Event
from fedtrade.privacy.ledger import Unit
from fedtrade.privacy.settings import RecordLevel
from fedtrade.tasks.record_training import TrainsOnRecords

__all__ = ["Costs", "costs_of", "is_training"]

Costs: TypeAlias = Mapping[Unit, tuple[Event, ...]]


def costs_of(message: Message, context: Context) -> Costs:
    """The events of what a message asks for; a unit is left out whose loss nothing bounds.

    What leaves outside of a run's promise costs nothing here: a participant's own
    `privacy.uncovered` says whether it may.
    """
    participant = Participant.of(context)
    level, task = participant.privacy.record, participant.task
    if level is None or not is_training(message) or not isinstance(task, TrainsOnRecords):
        return {}
    n_steps = task.local_steps
    return {"record": (_record_event(level, participant.n_rounds * n_steps, n_steps),)}


def is_training(message: Message) -> bool:
    """Whether it asks for what always tells something of the data."""
    return kind_of(message) == MessageType.TRAIN


@lru_cache(maxsize=16)
def _record_event(level: RecordLevel, n_steps_in_all: int, n_steps: int) -> Event:
    from fedtrade.privacy.dp_sgd import RecordNoise

    return RecordNoise.of(level, n_steps_in_all).event(n_steps)
