"""A participant's answers, asked for without a server."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.serverapp import Grid

from clients.participant import Participant
from fedtrade.components import build
from fedtrade.corrections import Correction
from fedtrade.errors import ConfigurationError
from fedtrade.holdings import Holdings, build_task
from fedtrade.report.results import read_results
from fedtrade.settings import Settings
from fedtrade.tasks.task import LocalUpdate, Model, Sample
from fedtrade.wire import (
    CALENDAR,
    DESCRIBE,
    PROXIMAL,
    SHARED_PREFIX,
    SUM,
    SUM_NAME,
    VARIATE,
    VARIATE_AT,
    VECTOR,
    EpisodeRecord,
    bars_of,
    pack_model,
    seconds_of,
)
from simulations.grid import InProcessGrid
from strategies.exchange import ask

Make = Callable[..., Settings]
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def settings(tiny: Make) -> Settings:
    return tiny()


@pytest.fixture
def grid(settings: Settings) -> Iterator[Grid]:
    run_config = {"settings": settings.to_json()}
    app = "clients.client_app:app"
    with InProcessGrid(app, 4, run_config=run_config) as opened:
        yield opened


@pytest.fixture(scope="module")
def calendar(settings: Settings) -> np.ndarray:
    """60 bars of history, then 20 to be scored."""
    return Holdings.of(settings).panel.bars[40:120]


@pytest.fixture(scope="module")
def episode(calendar: np.ndarray) -> EpisodeRecord:
    seconds = seconds_of(calendar).astype(int).tolist()
    return EpisodeRecord(0, 0, seconds[59], seconds[-1], 0)


def _samples(settings: Settings, episode: EpisodeRecord, calendar: np.ndarray) -> list[Sample]:
    return [Holdings.of(settings).sample(k, episode, calendar) for k in range(4)]


def _shared(settings: Settings, samples: list[Sample]) -> Arrays:
    task, shared = build_task(settings), {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    return shared


def _ask(
    grid: Grid, kind: str, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[list[Arrays], list[Message], list[str]]:
    """Arrays and messages by participant, and the reasons of refusals."""
    nodes = list(grid.get_node_ids())
    answers, refusals = ask(grid, nodes, kind, arrays, config, 60.0)
    return (
        [dict(a.arrays) for a in answers],
        [a.message for a in answers],
        [refusal.reason for refusal in refusals],
    )


def _sent(shared: Arrays, calendar: np.ndarray) -> Arrays:
    sent = {CALENDAR: seconds_of(calendar), **shared}
    return {f"{SHARED_PREFIX}{name}": values for name, values in sent.items()}


def test_a_participant_describes_itself(grid: Grid, settings: Settings) -> None:
    arrays, messages, _ = _ask(grid, DESCRIBE, {}, {})
    assert [m.content["metrics"]["participant"] for m in messages] == [0, 1, 2, 3]
    assert [m.content["metrics"]["n-assets"] for m in messages] == [1, 1, 1, 1]
    np.testing.assert_array_equal(bars_of(arrays[2]["bars"]), Holdings.of(settings).panel.bars)


def test_answers_are_those_of_the_task(
    grid: Grid, settings: Settings, calendar: np.ndarray, episode: EpisodeRecord
) -> None:
    """Sums, updates and scores go through messages unchanged."""
    task, samples = build_task(settings), _samples(settings, episode, calendar)
    shared = _shared(settings, samples)
    config = episode.to_config()

    sums, _, _ = _ask(grid, SUM, _sent({}, calendar), config | {SUM_NAME: "nowcast"})
    for answer, sample in zip(sums, samples, strict=True):
        np.testing.assert_array_equal(answer["sum"], task.local_sum("nowcast", sample, {}))

    vector = task.initial(0) + np.float32(0.05)
    updates, messages, _ = _ask(grid, "train", _sent(shared, calendar) | {VECTOR: vector}, config)
    for answer, message, sample in zip(updates, messages, samples, strict=True):
        expected = task.train(vector, sample, shared)
        assert answer["update"].dtype == np.float32
        np.testing.assert_array_equal(answer["update"], expected.update)
        metrics = dict(message.content["metrics"])
        assert metrics == {"num-examples": expected.n_examples, "loss": expected.loss}

    model = Model(vector, {"moments": shared["moments"]})
    sent = _sent(shared, calendar) | pack_model("federated", model)
    scores, messages, _ = _ask(grid, "evaluate", sent, config)
    for answer, message, sample in zip(scores, messages, samples, strict=True):
        evaluation = task.evaluate(sample, shared, {"federated": model})
        assert message.content["config"]["arms"] == list(evaluation.arms)
        np.testing.assert_array_equal(answer["totals"], evaluation.totals)
        np.testing.assert_array_equal(answer["daily"], evaluation.daily)
        np.testing.assert_array_equal(bars_of(answer["bars"]), evaluation.bars)
        assert evaluation.path is not None
        np.testing.assert_array_equal(answer["path"][1], evaluation.path.var)
        assert message.content["config"]["path-asset"] == evaluation.path.asset


def test_an_update_carries_no_prices(
    grid: Grid, settings: Settings, calendar: np.ndarray, episode: EpisodeRecord
) -> None:
    """A training reply holds the update and two numbers, and nothing else."""
    shared = _shared(settings, _samples(settings, episode, calendar))
    sent = _sent(shared, calendar) | {VECTOR: build_task(settings).initial(0)}
    arrays, messages, _ = _ask(grid, "train", sent, episode.to_config())
    assert [set(answer) for answer in arrays] == [{"update"}] * 4
    assert {tuple(m.content["metrics"]) for m in messages} == {("num-examples", "loss")}
    assert all(len(m.content["config"]) == 0 for m in messages)


# --- corrections --------------------------------------------------------------------------------


def test_a_pull_to_the_global_vector_is_asked_for_in_the_config(
    grid: Grid, settings: Settings, calendar: np.ndarray, episode: EpisodeRecord
) -> None:
    task, samples = build_task(settings), _samples(settings, episode, calendar)
    shared, vector = _shared(settings, samples), task.initial(0) + np.float32(0.05)
    sent = _sent(shared, calendar) | {VECTOR: vector}
    answers, _, _ = _ask(grid, "train", sent, episode.to_config() | {PROXIMAL: 3.0})
    for answer, sample in zip(answers, samples, strict=True):
        expected = task.train(vector, sample, shared, correction=Correction(3.0))
        np.testing.assert_array_equal(answer["update"], expected.update)
        assert (answer["update"] != task.train(vector, sample, shared).update).any()


def test_a_participant_remembers_its_variate_within_an_episode(
    grid: Grid, settings: Settings, calendar: np.ndarray, episode: EpisodeRecord
) -> None:
    """It is sent behind the update, and corrects the training of the next round."""
    task, samples = build_task(settings), _samples(settings, episode, calendar)
    shared, first = _shared(settings, samples), task.initial(0)
    second, server = first + np.float32(0.05), np.full(17, 0.01, dtype=np.float32)

    def sent(vector: np.ndarray, **others: np.ndarray) -> Arrays:
        arrays = {VECTOR: vector, VARIATE: server} | others
        return _sent(shared, calendar) | arrays

    config = episode.to_config()
    answers, _, _ = _ask(grid, "train", sent(first), config)
    own = [task.train(first, sample, shared) for sample in samples]
    for answer, plain in zip(answers, own, strict=True):
        assert plain.gradient is not None
        np.testing.assert_array_equal(answer["update"][:17], plain.update)
        np.testing.assert_array_equal(answer["update"][17:], plain.gradient)

    answers, _, _ = _ask(grid, "train", sent(second), config)
    corrected = []
    for sample, plain in zip(samples, own, strict=True):
        correction = Correction(shift=server - plain.gradient)
        corrected.append(task.train(second, sample, shared, correction=correction))
    for answer, expected in zip(answers, corrected, strict=True):
        np.testing.assert_array_equal(answer["update"][:17], expected.update)
        assert expected.gradient is not None
        np.testing.assert_array_equal(answer["update"][17:], expected.gradient)

    # Another episode begins anew, or where the server says after an interruption.
    other = EpisodeRecord(1, *list(config.values())[1:]).to_config()
    answers, _, _ = _ask(grid, "train", sent(second, **{VARIATE_AT: first}), other)
    for answer, expected in zip(answers, corrected, strict=True):
        np.testing.assert_array_equal(answer["update"][:17], expected.update)
    answers, _, _ = _ask(grid, "train", sent(second), config)
    for answer, sample in zip(answers, samples, strict=True):
        np.testing.assert_array_equal(
            answer["update"][:17], task.train(second, sample, shared).update
        )


def test_a_task_without_a_gradient_cannot_have_variates(
    grid: Grid,
    settings: Settings,
    calendar: np.ndarray,
    episode: EpisodeRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = build_task(settings)
    original = type(task).train

    def train(self: Any, *args: Any, **options: Any) -> LocalUpdate:
        return original(self, *args, **options)._replace(gradient=None)

    monkeypatch.setattr(type(task), "train", train)
    shared, vector = _shared(settings, _samples(settings, episode, calendar)), task.initial(0)
    sent = _sent(shared, calendar) | {VECTOR: vector, VARIATE: np.zeros(17, np.float32)}
    _, _, reasons = _ask(grid, "train", sent, episode.to_config())
    assert len(reasons) == 4
    assert all("control variates need the gradient" in reason for reason in reasons)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [("calendar", "KeyError: 'calendar'"), ("origin", "origin=None, not a whole number")],
)
def test_a_message_that_lacks_something_is_answered_with_an_error(
    grid: Grid, calendar: np.ndarray, episode: EpisodeRecord, left_out: str, reason: str
) -> None:
    arrays = {k: v for k, v in _sent({}, calendar).items() if not k.endswith(left_out)}
    config = {k: v for k, v in episode.to_config().items() if k != left_out}
    answers, _, reasons = _ask(grid, SUM, arrays, config | {SUM_NAME: "nowcast"})
    assert answers == []
    assert len(reasons) == 4
    assert all(reason in found for found in reasons)


def test_a_node_without_a_number_is_refused(settings: Settings) -> None:
    run_config = {"settings": settings.to_json()}
    numbers = {0: {"partition-id": "first"}}
    app = "clients.client_app:app"
    with InProcessGrid(app, 1, run_config=run_config, node_configs=numbers) as grid:
        _, _, reasons = _ask(grid, DESCRIBE, {}, {})
    assert reasons == ["the node's config has partition-id='first'; start it with a whole number."]


def test_a_number_beyond_the_participants_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="there is no participant 9"):
        _ = Participant(settings, 9).bars


def test_the_path_stays_where_it_is_unless_it_may_be_shown(tiny: Callable[..., Settings]) -> None:
    for shown in (True, False):
        settings = tiny(
            f"evaluation.show_path={str(shown).lower()}",
            "federation.n_participants=2",
            "evaluation.n_origins=1",
            "federation.rounds=1",
        )
        build(settings.runtime, "runtime", settings=settings)
        results = read_results(Path(settings.out) / "results.json")
        assert (results.series.path is not None) == shown
