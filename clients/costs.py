"""What an answer costs a participant's privacy, by what is protected."""

from collections.abc import Mapping
from typing import TypeAlias

from flwr.app import Context, Message, MessageType

from clients.contributed import kind_of
from clients.participant import Participant
from fedtrade.privacy.events import Event
from fedtrade.privacy.groups import CHANGED, group_event
from fedtrade.privacy.units import Unit
from fedtrade.tasks.record_training import TrainsOnRecords
from fedtrade.wire import SUM

__all__ = ["Costs", "costs_of", "is_training"]

Costs: TypeAlias = Mapping[Unit, tuple[Event, ...]]


def costs_of(message: Message, context: Context) -> Costs:
    """The events of what a message asks for; a unit is left out whose loss nothing bounds.

    Noise that hides all of a participant hides its records too, and less well than noise of
    DP-SGD that is meant for them; noise that hides all that a record does hides what it does as a
    label. Noise for labels alone bounds nothing else that a record does. What leaves outside of a
    run's promise costs nothing here: a participant's own `privacy.uncovered` says whether it may.

    Raises
    ------
    ConfigurationError
        If the run's settings leave open how much noise there is.
    """
    participant = Participant.of(context)
    whole = _on_the_sum(message, participant)
    if whole is None:
        return _in_training(message, participant)
    changed = (group_event(whole, CHANGED),)
    costs: Costs = {"label": changed, "record": changed, "participant": (whole,)}
    return {**costs, **_in_training(message, participant)}


def is_training(message: Message) -> bool:
    """Whether it asks for what always tells something of the data."""
    return kind_of(message) == MessageType.TRAIN


def _on_the_sum(message: Message, participant: Participant) -> Event | None:
    """What noise on the sum leaves of all that the participant adds to it."""
    noise = participant.noise
    if noise is None:
        return None
    if is_training(message):
        return noise.plan.round_event
    return noise.plan.sum_event if kind_of(message) == SUM and noise.covers_sums else None


def _in_training(message: Message, participant: Participant) -> Costs:
    """What noise in the training itself leaves of a record, and of one as a label."""
    level, task = participant.privacy.record, participant.task
    if level is None or not is_training(message) or not isinstance(task, TrainsOnRecords):
        return {}
    from fedtrade.privacy.dp_sgd import RecordNoise

    noise = RecordNoise.of(level, participant.n_rounds * task.local_steps, task.horizon_bars)
    label = (noise.label_event(task.local_steps),)
    if level.unit == "label":
        return {"label": label}
    return {"label": label, "record": (noise.event(task.local_steps),)}
