"""Runs whose participants keep each of their records private."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.model_file import read_model
from fedtrade.report import read_results
from fedtrade.settings import Settings
from fedtrade.tasks import Sample, Shared
from fedtrade.tasks.record_training import RecordTraining
from fedtrade.tasks.risk import Risk
from simulations.inprocess import run
from tests.strategies.trust.encrypted import federated

Make = Callable[..., Settings]

RECORD = ("privacy=record", "privacy.record.look_back_bars=44")


class Unable(Risk):
    """A task that cannot be trained record by record."""

    name = "unable"
    record_training = None  # type: ignore[assignment]


class Longer(Risk):
    """A task that takes one step more than it says."""

    name = "longer"

    def record_training(
        self, sample: Sample, shared: Shared, look_back_bars: int | None
    ) -> RecordTraining:
        found = super().record_training(sample, shared, look_back_bars)
        return replace(found, n_steps=found.n_steps + 1)


def vector(settings: Settings) -> np.ndarray:
    return np.asarray(read_model(Path(settings.out) / "model.safetensors").model.vector)


@pytest.mark.parametrize(("task", "mode"), [("signal", "plain"), ("risk", "masked")])
def test_a_run_is_trained_in_private_and_tells_no_loss(task: str, mode: str, tiny: Make) -> None:
    overrides = [f"task={task}", f"aggregation={mode}", "evaluation.n_origins=1"]
    if mode == "masked":
        overrides += ["aggregation.dropout_share=0", "aggregation.colluding_share=0"]
    plain, private = tiny(*overrides), tiny(*overrides, *RECORD)
    for settings in (plain, private):
        run(settings)
    results = read_results(Path(private.out) / "results.json")
    assert not results.failures
    assert results.rounds
    assert all(entry.loss is None for entry in results.rounds)
    assert results.privacy is not None
    promise = next(text for text in results.privacy.assumptions if "Record level" in text)
    assert "epsilon 8 at delta 1e-05 for each model" in promise
    assert "for all 2 models" in promise
    assert not any("losses of training" in each.what for each in results.privacy.learns)
    assert not any("No noise is added" in text for text in results.privacy.assumptions)
    assert np.isfinite(vector(private)).all()
    assert (vector(private) != vector(plain)).any()


def test_noise_is_fresh_in_each_run(tiny: Make) -> None:
    """The run's seed, which the server knows, does not give it away."""
    vectors = []
    for _ in range(2):
        settings = tiny(*RECORD, "evaluation.n_origins=1", "federation.rounds=1")
        run(settings)
        vectors.append(vector(settings))
    assert (vectors[0] != vectors[1]).any()


def test_no_more_rounds_are_answered_than_were_reckoned_with(tiny: Make) -> None:
    """Two models of one round each: a third round is one too many, whatever it is called."""
    settings = tiny(*RECORD, "evaluation.n_origins=1", "federation.rounds=1")
    with federated(settings) as served:
        served.prepare()
        reports = [served.round() for _ in range(3)]
    assert [bool(report.skipped) for report in reports] == [False, False, True]
    reasons = [reason for _, reason in reports[2].refusals]
    assert reasons
    assert all("contributed to 2 rounds of training" in reason for reason in reasons)


def test_a_number_of_models_that_only_the_data_tell_is_refused(tiny: Make) -> None:
    settings = tiny(*RECORD, "evaluation.n_origins=null")
    with pytest.raises(ConfigurationError, match=r"evaluation\.n_origins=null leaves it"):
        run(settings)


def test_control_variates_are_refused_before_a_round(tiny: Make) -> None:
    settings = tiny(*RECORD, "+strategy.client_correction._target_=fedtrade.corrections.scaffold")
    with pytest.raises(ConfigurationError, match="control variates show gradients without noise"):
        run(settings)


def test_a_task_that_cannot_is_refused_before_a_round(tiny: Make) -> None:
    settings = tiny(*RECORD, f"task._target_={__name__}.Unable")
    with pytest.raises(ConfigurationError, match="the task unable cannot be trained with"):
        run(settings)


def test_no_more_steps_are_taken_than_noise_was_reckoned_for(tiny: Make) -> None:
    settings = tiny(*RECORD, f"task._target_={__name__}.Longer", "evaluation.n_origins=1")
    with federated(settings) as served:
        report = served.prepare().round()
    assert report.skipped
    reasons = [reason for _, reason in report.refusals]
    assert reasons
    assert all("4 steps a round and says local_steps=3" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epsilon", 0),
        ("delta", 0),
        ("delta", 1),
        ("clip", 0),
        ("look_back_bars", 45),
        ("look_back_bars", 20),
        ("sampling_probability", 0),
        ("sampling_probability", 1.1),
        ("unit", "week"),
    ],
)
def test_values_out_of_range_are_named(key: str, value: object, tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=rf"privacy\.record\.{key}"):
        tiny(*RECORD, f"privacy.record.{key}={value}")
