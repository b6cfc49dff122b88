"""The participant's ClientApp: unpack a message, ask the task, pack the answer.

Every answer is computed from the participant's own prices. An exception becomes an error reply
that names it, and costs nobody else.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.local_correction import LocalCorrection
from clients.participant import Participant
from clients.parties import party_of
from fedtrade.tasks import Sample, Shared, Task
from fedtrade.wire import (
    ARRAYS,
    CALENDAR,
    CONFIG,
    METRICS,
    SHARED_PREFIX,
    SUM_NAME,
    VECTOR,
    EpisodeRecord,
    bars_of,
    seconds_of,
    split_prefix,
    unpack_models,
)

__all__ = ["app"]

app = ClientApp()


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Say which participant this is and which bars it holds."""
    participant = Participant.of(context)
    greeting = party_of(participant, context).greet(message)
    return _reply(
        message,
        {"bars": seconds_of(participant.bars)},
        metrics={"participant": participant.number, "n-assets": participant.n_assets},
        records=greeting.records,
    )


@app.query("secure")
def secure(message: Message, context: Context) -> Message:
    """Do what a private sum needs beside contributions."""
    answered = party_of(Participant.of(context), context).answer(message)
    return _reply(message, answered.arrays, records=answered.records)


@app.query("sum")
def local_sum(message: Message, context: Context) -> Message:
    """Add to a federated sum."""
    request = _open(message, context)
    name = str(message.content.config_records[CONFIG][SUM_NAME])
    values = request.task.local_sum(name, request.sample, request.shared)
    part = party_of(Participant.of(context), context).part(message, values)
    return _reply(message, part.arrays, records=part.records)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the global vector and send the update, with the own control variate if asked."""
    request = _open(message, context)
    vector = np.asarray(request.arrays[VECTOR], dtype=np.float32)

    def gradient(at: np.ndarray) -> np.ndarray | None:
        return request.task.train(at, request.sample, request.shared).gradient

    asked = LocalCorrection.of(message, context, gradient)
    if asked is None:
        result = request.task.train(vector, request.sample, request.shared)
        update = result.update
    else:
        result = request.task.train(
            vector, request.sample, request.shared, correction=asked.correction
        )
        update = asked.finish(result)
    given = party_of(Participant.of(context), context).training(
        message, np.asarray(update, dtype=np.float32), result.n_examples, result.loss
    )
    return _reply(message, given.arrays, metrics=given.metrics, records=given.records)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score models, naive forecasts and models trained alone on the bars after the origin."""
    request = _open(message, context)
    models = unpack_models(request.arrays)
    outcome = request.task.evaluate(request.sample, request.shared, models)
    arrays = {
        "bars": seconds_of(outcome.bars),
        "totals": outcome.totals,
        "daily": outcome.daily,
    }
    config: dict[str, str | float | list[str]] = {"arms": list(outcome.arms)}
    if outcome.path is not None and Participant.of(context).show_path:
        arrays["path"] = np.stack([outcome.path.returns, outcome.path.var, outcome.path.es])
        config |= {"path-asset": outcome.path.asset, "path-level": outcome.path.level}
    return _reply(message, arrays, config=config)


class _Request(NamedTuple):
    """A message about an episode, unpacked."""

    task: Task
    sample: Sample
    shared: Shared
    arrays: Mapping[str, np.ndarray]


def _open(message: Message, context: Context) -> _Request:
    participant = Participant.of(context)
    arrays = {name: array.numpy() for name, array in message.content.array_records[ARRAYS].items()}
    shared = split_prefix(arrays, SHARED_PREFIX)
    calendar = bars_of(shared.pop(CALENDAR))
    episode = EpisodeRecord.from_config(message.content.config_records[CONFIG])
    return _Request(participant.task, participant.sample(episode, calendar), shared, arrays)


def _reply(
    message: Message,
    arrays: Mapping[str, np.ndarray],
    *,
    metrics: Mapping[str, int | float] | None = None,
    config: Mapping[str, str | float | list[str]] | None = None,
    records: Mapping[str, ConfigRecord] | None = None,
) -> Message:
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(values) for name, values in arrays.items()}),
            METRICS: MetricRecord(dict(metrics or {})),
            CONFIG: ConfigRecord(dict(config or {})),
            **(records or {}),
        }
    )
    return Message(content, reply_to=message)
