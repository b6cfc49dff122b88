"""A participant's training where each of its records is kept private."""

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from clients.participant import Participant
from fedtrade.errors import ConfigurationError
from fedtrade.privacy.settings import RecordLevel
from fedtrade.tasks import LocalUpdate, Sample, Shared
from fedtrade.tasks.record_training import TrainsOnRecords
from fedtrade.wire import ARRAYS, CONFIG, PROXIMAL, VARIATE

__all__ = ["NO_LOSS", "train_on_own_records"]

NO_LOSS = 0.0
"""In place of a loss, which would tell of the records."""


def train_on_own_records(
    participant: Participant,
    level: RecordLevel,
    vector: NDArray[np.float32],
    sample: Sample,
    shared: Shared,
    message: Message,
) -> LocalUpdate:
    """Train from the global vector by DP-SGD.

    The noise is what keeps `level` over all rounds that the participant's settings allow; the
    number of examples is that of bars and assets, which is no secret.

    Raises
    ------
    ConfigurationError
        If the task cannot be trained so or takes other steps than it says, or the server asks for
        a control variate, which would show a gradient without noise.
    AccountingError
        If no noise keeps the promise.
    """
    task = participant.task
    if not isinstance(task, TrainsOnRecords):
        raise ConfigurationError(
            f"the task {task.name} cannot be trained with privacy.record: it has no "
            "record_training(); see docs/privacy/record.md, or set privacy.record=null."
        )
    content = message.content
    if VARIATE in content.array_records[ARRAYS]:
        raise ConfigurationError(
            "the server asks for a control variate, which shows a gradient without noise: with "
            "privacy.record use another strategy.client_correction, or none."
        )
    from fedtrade.privacy.dp_sgd import RecordNoise, train_on_records

    training = task.record_training(sample, shared, level.longest_look_back)
    if training.n_steps != task.local_steps:
        raise ConfigurationError(
            f"the task {task.name} trains privately for {training.n_steps} steps a round and says "
            f"local_steps={task.local_steps}, for which noise is reckoned: make them the same."
        )
    if not training.n_records:
        return LocalUpdate(np.zeros_like(vector), NO_LOSS, 0)
    noise = RecordNoise.of(level, participant.n_rounds * task.local_steps, task.horizon_bars)
    proximal = float(content.config_records[CONFIG].get(PROXIMAL, 0.0))  # type: ignore[arg-type]
    trained = train_on_records(vector, training, noise, proximal=proximal)
    return LocalUpdate(trained - vector, NO_LOSS, training.n_examples)
