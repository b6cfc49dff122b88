"""Tiny runs whose scores are only seen added up, beside the same runs by participant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.clientapp import ClientApp

from clients.client_app import app as honest
from conf import compose
from fedtrade.baselines.ewma import ewma_t6
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.report.results import Results, read_results
from fedtrade.settings import Settings
from fedtrade.tasks.risk import Risk
from simulations.grid import simulate

Make = Callable[..., Settings]
Tamper = Callable[[Message], None]

SHORT = ("evaluation.n_origins=1", "federation.rounds=1")
SUMMED = "evaluation.scores=summed"
COLD_START = (
    "federation=cold_start",
    "federation.n_participants=4",
    "federation.history_bars=45",
    "federation.incumbent_bars=90",
)
HIDDEN = ("share_better_vs", "worst_gain_vs", "share_of_episodes_better_vs")


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures and the forecasts that are slow to fit."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})


class _Watched(ClientApp):
    """The honest app; evaluations are kept, and those of participant 2 may be changed."""

    def __init__(self, tamper: Tamper | None = None) -> None:
        super().__init__()
        self.replies: list[tuple[int, Message]] = []
        self._tamper = tamper

    def __call__(self, message: Message, context: Context) -> Message:
        reply = honest(message, context)
        if message.metadata.message_type == "evaluate":
            number = int(str(context.node_config["partition-id"]))
            if number == 2 and self._tamper is not None:
                self._tamper(reply)
            self.replies.append((number, reply))
        return reply


def _run(settings: Settings, app: ClientApp | None = None) -> Results:
    simulate(
        "strategies.server_app:app",
        app or _Watched(),
        n_participants=settings.n_nodes or 1,
        run_config={"settings": settings.to_json()},
        seed=settings.seed,
    )
    return read_results(Path(settings.out) / "results.json")


def _near(value: float | None, tolerance: float) -> Any:
    return value if value is None else pytest.approx(value, rel=tolerance, abs=tolerance)


def _assert_same_of_everybody(apart: Results, together: Results, tolerance: float) -> None:
    assert (apart.scores, together.scores) == ("by_participant", "summed")
    assert together.participants == ()
    keys = {k for k in apart.index if k[3] == "all" and not k[1].startswith(HIDDEN)}
    assert keys == {k for k in together.index if not k[1].startswith(HIDDEN)}
    for key in keys:
        assert together.index[key] == _near(apart.index[key], tolerance), key
    ours, theirs = together.series.daily, apart.series.daily
    assert ours is not None
    assert theirs is not None
    assert ours.bars == theirs.bars
    for arm, scores in theirs.scores.items():
        assert ours.scores[arm] == pytest.approx(scores, rel=tolerance)
    assert together.episodes == apart.episodes
    assert together.series.path is None


# --- the same of everybody ----------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [SHORT, (*SHORT, *COLD_START)])
def test_a_sum_says_the_same_of_everybody(tiny: Make, overrides: tuple[str, ...]) -> None:
    apart, together = _run(tiny(*overrides)), _run(tiny(*overrides, SUMMED))
    assert apart.series.path is not None
    _assert_same_of_everybody(apart, together, 1e-10)


OF_TASK = {
    "volatility": ["task.local_steps=3"],
    "signal": ["task.local_steps=3", "task.alone_steps=5"],
}


@pytest.mark.slow
@pytest.mark.parametrize("task", OF_TASK)
@pytest.mark.parametrize(("aggregation", "tolerance"), [("plain", 1e-10), ("masked", 1e-6)])
def test_so_it_does_in_each_task(tiny: Make, task: str, aggregation: str, tolerance: float) -> None:
    """Of two participants with two assets each, so that there is something to rank."""
    overrides = [f"aggregation={aggregation}", "federation.n_participants=2"]
    if aggregation == "masked":
        overrides += ["aggregation.min_contributors=2", "aggregation.dropout_share=0"]
    chosen = compose([f"task={task}", *OF_TASK[task]]).task
    apart, together = (
        _run(
            tiny(*SHORT, *overrides, f"evaluation.scores={scores}").model_copy(
                update={"task": chosen}
            )
        )
        for scores in ("by_participant", "summed")
    )
    assert apart.task == task
    _assert_same_of_everybody(apart, together, tolerance)


@pytest.mark.parametrize("overrides", [(), pytest.param(COLD_START, marks=pytest.mark.slow)])
def test_a_masked_sum_says_the_same_to_six_digits(tiny: Make, overrides: tuple[str, ...]) -> None:
    """Beside a run whose updates are masked as well, so that the models are the same."""
    masked = (*SHORT, *overrides, "aggregation=masked", "aggregation.min_contributors=2")
    apart = _run(tiny(*masked, "evaluation.scores=by_participant"))
    together = _run(tiny(*masked))
    _assert_same_of_everybody(apart, together, 1e-6)
    assert any("in the clear" in note for note in apart.notes)


@pytest.mark.slow
def test_an_encrypted_sum_says_the_same_to_six_digits(tiny: Make) -> None:
    encrypted = (*SHORT, "aggregation=encrypted")
    apart = _run(tiny(*encrypted, "evaluation.scores=by_participant"))
    _assert_same_of_everybody(apart, _run(tiny(*encrypted)), 1e-6)


# --- what leaves a participant ------------------------------------------------------------------


def test_a_participant_that_is_not_scored_sends_zeros_of_the_same_shape(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And needs no evaluation for it, nor a path for a picture."""
    n_calls = [0]
    original = Risk.evaluate

    def counted(self: Risk, *args: Any) -> Any:
        n_calls[0] += 1
        return original(self, *args)

    monkeypatch.setattr(Risk, "evaluate", counted)
    app = _Watched()
    _run(tiny(*SHORT, *COLD_START, SUMMED), app)
    assert n_calls == [4]
    parts: dict[int, list[np.ndarray]] = {number: [] for number in range(4)}
    for number, reply in app.replies:
        assert list(reply.content.array_records["arrays"]) == ["sum"]
        assert list(reply.content.config_records["config"]) == ["arms"]
        assert dict(reply.content.metric_records["metrics"]) == {}
        parts[number].append(reply.content.array_records["arrays"]["sum"].numpy())
    assert len({part.shape for own in parts.values() for part in own}) == 1
    is_something = {number: [bool(part.any()) for part in own] for number, own in parts.items()}
    first, second = [True, False], [False, True]
    assert is_something == {0: first, 1: first, 2: second, 3: second}


def test_under_masks_no_part_looks_like_a_score(tiny: Make) -> None:
    app = _Watched()
    _run(tiny(*SHORT, "aggregation=masked", "aggregation.min_contributors=2"), app)
    assert len(app.replies) == 4
    for _, reply in app.replies:
        (words,) = (array.numpy() for array in reply.content.array_records["arrays"].values())
        assert words.dtype.kind == "u"
        # A part holds mostly small numbers and zeros, which masks turn into any.
        assert len(np.unique(words)) == words.size


def test_a_task_that_does_not_name_its_arms_can_be_summed(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _run(tiny(*SHORT, *COLD_START, SUMMED))
    monkeypatch.delattr(Risk, "arms")
    found = _run(tiny(*SHORT, *COLD_START, SUMMED))
    assert found.metrics == expected.metrics


# --- what cannot be -----------------------------------------------------------------------------


def _changed(change: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    def tamper(reply: Message) -> None:
        part = reply.content.array_records["arrays"]["sum"].numpy()
        reply.content["arrays"] = ArrayRecord({"sum": Array(change(part.copy()))})

    return tamper


def _of_other_arms(reply: Message) -> None:
    arms = list(reply.content.config_records["config"]["arms"])  # type: ignore[arg-type]
    reply.content["config"] = ConfigRecord({"arms": [str(arm) for arm in arms[::-1]]})


def test_under_masks_a_part_of_other_arms_is_left_out_of_the_sum(tiny: Make) -> None:
    results = _run(tiny(*SHORT, "aggregation=masked"), _Watched(_of_other_arms))
    assert [episode.n_scored for episode in results.episodes] == [3]
    (failure,) = results.failures
    assert failure.participant == "2"
    assert failure.reason == "its part of the sum is of other arms than most others'"


def _at(position: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(part: np.ndarray) -> np.ndarray:
        part[position] = value
        return part

    return change


@pytest.mark.parametrize(
    "tamper",
    [_of_other_arms, _changed(_at(3, np.nan)), _changed(lambda part: part[1:])],
    ids=["arms", "NaN", "shape"],
)
def test_a_part_that_shows_to_be_bad_costs_its_sender(tiny: Make, tamper: Tamper) -> None:
    results = _run(tiny(*SHORT, SUMMED), _Watched(tamper))
    assert [episode.n_scored for episode in results.episodes] == [3]
    ((failure,)) = results.failures
    assert (failure.participant, failure.round) == ("2", 2)
    assert "its part of the sum is missing, not finite" in failure.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_at(0, 7.0), "is of 10 participants scored, and 1 to 4 can be"),
        (_at(-1, 9.0), "counts more values at a bar than participants scored"),
        (_at(0, 0.5), "no whole numbers"),
    ],
)
def test_a_total_that_cannot_be_ends_the_run_with_its_name(
    tiny: Make, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    settings = tiny(*SHORT, SUMMED)
    with pytest.raises(FedtradeError, match=f"the federated sum of scores .*{message}"):
        _run(settings, _Watched(_changed(change)))
    assert not (Path(settings.out) / "results.json").exists()


def test_a_sum_that_would_show_two_newcomers_is_refused_at_the_start(tiny: Make) -> None:
    settings = tiny(*SHORT, *COLD_START, "aggregation=masked")
    with pytest.raises(ConfigurationError, match="only 2 of 4 participants are scored"):
        _run(settings)


def test_a_run_goes_on_from_a_summed_episode(tiny: Make) -> None:
    """The sum is in the checkpoint: nobody evaluates again."""
    settings = tiny(*SHORT, SUMMED)
    first = _run(settings)
    app = _Watched()
    again = _run(settings.model_copy(update={"resume": True}), app)
    assert app.replies == []
    assert again.metrics == first.metrics
