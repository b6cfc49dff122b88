"""The participant's ClientApp: unpack a message, ask the task, pack the answer.

Every answer is computed from the participant's own prices. An exception becomes an error reply
that names it, and costs nobody else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from clients.brought import check_brought
from clients.budget import within_budget
from clients.contributed import note_contribution
from clients.discretion import KeptOutError, UntoldError, discreet, is_about_the_run
from clients.kept_state import keep
from clients.local_correction import LocalCorrection
from clients.local_rules import obey
from clients.participant import Participant
from clients.parties import key_holder_of, party_of
from clients.party import Outgoing, Party
from clients.programme import check_programme
from clients.record_level import train_on_own_records
from clients.released import note_release
from clients.roles import is_key_holder
from fedtrade.errors import DataError, FedtradeError, ProtocolError, RangeError
from fedtrade.secure import PlainAggregation
from fedtrade.settings import SUMMED
from fedtrade.summed_scores import no_score_part, score_part, scored_bars
from fedtrade.tasks import LocalUpdate, Model, NamesArms, Sample, Shared, Task
from fedtrade.wire import (
    ARMS,
    ARRAYS,
    CALENDAR,
    CONFIG,
    KEY_HOLDER,
    METRICS,
    ROLE,
    SHARED_PREFIX,
    SUM_NAME,
    VECTOR,
    VERSION,
    EpisodeRecord,
    bars_of,
    check_version,
    own_version,
    seconds_of,
    split_prefix,
    unpack_models,
)

__all__ = ["app"]

Computed = TypeVar("Computed")

app = ClientApp(mods=[discreet, keep, obey, within_budget])


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Say which participant this is and which bars it holds; or that it holds the key."""
    _check_server(message)
    if is_key_holder(context):
        greeted = key_holder_of(context).greet(message)
        config = {ROLE: KEY_HOLDER, VERSION: own_version()}
        return _reply(message, {}, config=config, records=greeted.records)
    participant = Participant.of(context)
    greeting = party_of(participant, context).greet(message)
    return _reply(
        message,
        {"bars": seconds_of(participant.bars)},
        metrics={"participant": participant.number, "n-assets": participant.n_assets},
        config={VERSION: own_version()},
        records=greeting.records,
    )


@app.query("secure")
def secure(message: Message, context: Context) -> Message:
    """Do what a private sum needs beside contributions."""
    check_brought(context)
    if is_key_holder(context):
        answered = key_holder_of(context).answer(message)
    else:
        answered = party_of(Participant.of(context), context).answer(message)
    return _reply(message, answered.arrays, records=answered.records)


@app.query("sum")
def local_sum(message: Message, context: Context) -> Message:
    """Add to a federated sum."""
    request = _open(message, context)
    name = str(message.content.config_records[CONFIG][SUM_NAME])
    request.note(message, context)

    def part() -> Outgoing:
        values = request.computed(
            lambda: request.task.local_sum(name, request.sample, request.shared)
        )
        return request.party.part(message, values)

    return _contribution(message, request.given_or_refused(message, part))


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the global vector and send the update, with the own control variate if asked."""
    request = _open(message, context)
    vector = np.asarray(request.arrays[VECTOR], dtype=np.float32)
    if vector.ndim != 1:
        raise ProtocolError(f"the server sends a model of shape {vector.shape}, not (n,).")
    correction = _correction(request, message, context)
    request.note(message, context)
    size = (2 if correction and correction.has_variates else 1) * vector.size
    is_noisy = request.party.has_noise(message)

    def trained() -> LocalUpdate:
        result = _trained(request, vector, message, correction)
        if not request.in_the_clear:
            _check_shape(result.update, size)
        if not (request.in_the_clear or is_noisy):
            _check_finite(result)
        return result

    def given() -> Outgoing:
        try:
            result = request.computed(trained)
        except UntoldError:
            if not is_noisy:
                raise  # else whether it can be computed is hidden, as all else is
            result = LocalUpdate(np.zeros(size, dtype=np.float32), 0.0, 0)
        update = np.asarray(result.update, dtype=np.float32)
        return request.party.training(message, update, result.n_examples, result.loss)

    return _contribution(message, request.given_or_refused(message, given))


def _correction(request: "_Request", message: Message, context: Context) -> LocalCorrection | None:
    """What the message asks training to be corrected by, if anything."""
    if request.participant.privacy.record is not None or not LocalCorrection.is_asked(message):
        return None
    if not request.in_the_clear:
        request.participant.check_corrected()
    return LocalCorrection.of(message, context, remembers=request.in_the_clear)


def _trained(
    request: "_Request",
    vector: NDArray[np.float32],
    message: Message,
    correction: LocalCorrection | None,
) -> LocalUpdate:
    """What training gives, with all that is to be sent in its update."""
    record_level = request.participant.privacy.record
    if record_level is not None:
        return train_on_own_records(
            request.participant, record_level, vector, request.sample, request.shared, message
        )
    if correction is None:
        return request.task.train(vector, request.sample, request.shared)

    def gradient(at: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return request.task.train(at, request.sample, request.shared).gradient

    result = request.task.train(
        vector, request.sample, request.shared, correction=correction.for_task(gradient)
    )
    return result._replace(update=correction.finish(result))


def _check_shape(update: NDArray[Any], size: int) -> None:
    """Refuse to tell by an update's shape what became of it.

    Raises
    ------
    RangeError
    """
    if update.shape != (size,):
        raise RangeError(f"training gave an update of shape {update.shape}, not ({size},).")


def _check_finite(result: LocalUpdate) -> None:
    """Refuse to add zeros in the place of what is no number: see `_Request.computed`.

    Raises
    ------
    RangeError
    """
    if result.n_examples > 0 and not (
        np.isfinite(result.update).all() and np.isfinite(result.loss)
    ):
        raise RangeError("training gave an update or a loss that is not finite.")


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score models, naive forecasts and models trained alone on the bars after the origin."""
    if Participant.of(context).scores == SUMMED:
        return _add_scores(message, context)
    request = _open(message, context)
    if not request.in_the_clear:
        note_contribution(message, context)
    models = unpack_models(request.arrays)
    outcome = request.computed(
        lambda: request.task.evaluate(request.sample, request.shared, models)
    )
    arrays = {
        "bars": seconds_of(outcome.bars),
        "totals": outcome.totals,
        "daily": outcome.daily,
    }
    config: dict[str, str | float | list[str]] = {ARMS: list(outcome.arms)}
    if outcome.path is not None and Participant.of(context).show_path:
        arrays["path"] = np.stack([outcome.path.returns, outcome.path.var, outcome.path.es])
        config |= {"path-asset": outcome.path.asset, "path-level": outcome.path.level}
    return _reply(message, arrays, config=config)


def _add_scores(message: Message, context: Context) -> Message:
    """Add the scores to a sum; whoever is not scored adds zeros."""
    request = _open(message, context)
    request.participant.check_summed_scores()
    models = unpack_models(request.arrays)
    request.note(message, context)

    def part() -> Outgoing:
        arms, values = request.computed(lambda: _scores(request, models))
        return request.party.part(message, values)._replace(config={ARMS: list(arms)})

    n_score = 1 if request.participant.is_scored(request.episode) else None
    return _contribution(message, request.given_or_refused(message, part, n_score=n_score))


def _scores(
    request: "_Request", models: Mapping[str, Model]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The arms, and the participant's part of the sum of scores."""
    bars, task = scored_bars(request.calendar, request.episode), request.task
    is_scored = request.participant.is_scored(request.episode)
    if not is_scored and isinstance(task, NamesArms):
        arms = task.arms(models)
        return arms, no_score_part(len(arms), task, bars)
    evaluation = task.evaluate(request.sample, request.shared, models)
    if not is_scored:
        return evaluation.arms, no_score_part(len(evaluation.arms), task, bars)
    return evaluation.arms, score_part(evaluation, task, bars)


def _check_server(message: Message) -> None:
    """Refuse a server of another version; on a machine of its own a node does so in any case."""
    said = message.content.config_records.get(CONFIG, ConfigRecord()).get(VERSION)
    if said is not None:
        check_version(said, "the server")


@dataclass(frozen=True, eq=False)  # without slots, for what is computed when needed
class _Request:
    """A message about an episode, unpacked."""

    participant: Participant
    party: Party
    episode: EpisodeRecord
    calendar: NDArray[np.datetime64]
    shared: Shared
    arrays: Mapping[str, np.ndarray]

    @property
    def task(self) -> Task:
        return self.participant.task

    @property
    def in_the_clear(self) -> bool:
        """Whether what is computed leaves as it is."""
        return isinstance(self.participant.aggregation, PlainAggregation)

    @cached_property
    def sample(self) -> Sample:
        """The participant's own prices of the episode."""
        return self.participant.sample(self.episode, self.calendar)

    def note(self, message: Message, context: Context) -> None:
        """Remember what a message asks to contribute, once all of it is clear and it is due.

        Nothing before this, or in it, depends on the participant's prices.

        Raises
        ------
        ProtocolError, SecureAggregationError, LimitError
        """
        self.party.check(message)
        note_release(message, context)

    def check_history(self, message: Message, n_score: int) -> None:
        """Refuse to be counted among the contributors of a sum with nothing to add.

        A server could choose a time at which all but one have nothing, and read that one's part in
        the sum. It is told by the bars that it holds alone, and not by what is computed of prices:
        that could depend on them by a question that was made for it. With noise on a sum it tells
        of nobody, however few are in it.

        Raises
        ------
        KeptOutError
        """
        if self.in_the_clear or self.party.has_noise(message):
            return
        try:
            sample = self.sample
        except DataError as error:  # no asset has a price at each bar
            raise KeptOutError(str(error)) from None
        least = self.task.min_history_bars
        if sample.n_train < least or sample.n_score < n_score:
            raise KeptOutError(
                f"there are {sample.n_train} bars to learn from, and the task "
                f"{self.task.name} needs {least}; and {sample.n_score} to be scored."
            )

    def computed(self, compute: Callable[[], Computed]) -> Computed:
        """What is computed of the data.

        Raises
        ------
        UntoldError
            In private modes, of whatever goes wrong with the data: a sentence could tell of it. So
            does that it goes wrong, but once for each that is due, of which a run has few. Zeros in
            its place would tell more: a server could ask what all but one cannot compute, and read
            that one's part in the sum.
        """
        try:
            return compute()
        except Exception as error:
            if self.in_the_clear:
                raise
            raise UntoldError(error) from None

    def given_or_refused(
        self, message: Message, give: Callable[[], Outgoing], *, n_score: int | None = 0
    ) -> Outgoing:
        """A contribution that is due, or the reply that it cannot be given.

        Parameters
        ----------
        n_score : int or None
            How many bars to be scored a contributor must hold; None if it need hold none at all.
        """
        try:
            if n_score is not None:
                self.check_history(message, n_score)
            return give()
        except (KeptOutError, UntoldError) as error:
            refusal: FedtradeError = error
        except Exception as error:
            if self.in_the_clear or is_about_the_run(error):
                raise
            refusal = UntoldError(error)
        return self.party.refuse(message, str(refusal))


def _open(message: Message, context: Context) -> _Request:
    """Unpack a message, if the run has what it asks for."""
    check_brought(context)
    arrays = {name: array.numpy() for name, array in message.content.array_records[ARRAYS].items()}
    shared = split_prefix(arrays, SHARED_PREFIX)
    calendar = bars_of(shared.pop(CALENDAR))
    episode = EpisodeRecord.from_config(message.content.config_records[CONFIG])
    participant = Participant.of(context)
    party = party_of(participant, context)
    request = _Request(participant, party, episode, calendar, shared, arrays)
    if not request.in_the_clear:
        check_programme(message, participant)
    return request


def _contribution(message: Message, given: Outgoing) -> Message:
    return _reply(
        message, given.arrays, metrics=given.metrics, config=given.config, records=given.records
    )


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
