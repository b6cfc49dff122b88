"""Whole runs with masked sums: failures in the results, checkpoints, liars, worker processes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp import Grid

from fedtrade.baselines.ewma import ewma_t6
from fedtrade.components import factory
from fedtrade.errors import ConfigurationError
from fedtrade.model_file import read_model
from fedtrade.settings import Settings
from simulations.attacks import ATTACKS
from simulations.attacks.attack import DataAttack
from simulations.grid import simulate
from strategies.robust import RobustAggregation
from tests.strategies.trust.federation import Fate, MeddledGrid, composer

Make = Callable[..., Settings]
Results = dict[str, Any]

N = 9
MASKED = ("aggregation=masked", "strategy.weights=equal")


@pytest.fixture
def nine(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, 9, n_rounds=2)


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures and the forecasts that are slow to fit."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})


def _run(settings: Settings, fate: Fate | None = None) -> Results:
    """The results, without what differs from one run to the next."""

    def around(grid: Grid) -> Grid:
        return MeddledGrid(grid, fate)

    if fate is None:
        factory(settings.runtime, "runtime", settings=settings)()
    else:
        simulate(
            "strategies.server_app:app",
            "clients.client_app:app",
            n_participants=N,
            run_config={"settings": settings.to_json()},
            seed=settings.seed,
            around=around,
        )
    results: Results = json.loads((Path(settings.out) / "results.json").read_text())
    for key in ("created", "settings"):
        results.pop(key)
    for entry in results["rounds"]:
        entry.pop("seconds")
    return results


def _vector(settings: Settings) -> np.ndarray:
    return read_model(Path(settings.out) / "model.safetensors").model.vector


def _trainings(numbers: set[int], which: range) -> Fate:
    """Participants that are silent when they are asked for training the nth time."""
    asked: dict[int, int] = {}

    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        if "train" not in stages:
            return None
        asked[number] = asked.get(number, -1) + 1
        return "silent" if number in numbers and asked[number] in which else None

    return fate


def test_failures_stand_in_the_results_and_the_model_is_kept(nine: Make) -> None:
    """Most are silent in the first round of the final model; the second trains with all."""
    settings = nine(*MASKED, "federation.rounds=3")
    results = _run(settings, _trainings(set(range(2, N)), range(1)))
    failures = results["failures"]
    first = [f for f in failures if f["round"] == 1]
    assert {f["participant"] for f in first} == {"-1", *map(str, range(2, N))}
    assert "no reply within 3600 s" in {f["reason"] for f in first}
    skipped = [f["reason"] for f in failures if f["reason"].startswith("the round is skipped")]
    assert len(skipped) == 2
    assert "2 members are left, and min_contributors=3" in skipped[0]
    assert "min_contributors=3" in skipped[1]
    norms = [entry["update_norm"] for entry in results["rounds"]]
    assert [norm > 0.0 for norm in norms] == [False, False, True]


@pytest.mark.slow
def test_a_skipped_round_changes_neither_model_nor_memory(nine: Make) -> None:
    """With the first two rounds skipped, the third is the first of a run of one round."""
    options = (*MASKED, "strategy=fedadam", "evaluation.n_origins=1")
    long, short = nine(*options, "federation.rounds=3"), nine(*options, "federation.rounds=1")
    everybody = set(range(2, N))
    asked: list[int] = []

    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        if "train" in stages:
            asked.append(stages["train"])
        rounds = sorted(set(asked))
        # The first round of each episode: sums 0 and 1 are skipped, the third one is whole.
        is_first = "train" in stages and rounds.index(stages["train"]) in (0, 2)
        return "silent" if number in everybody and is_first else None

    _run(long, fate)
    _run(short)
    np.testing.assert_array_equal(_vector(long), _vector(short))


@pytest.mark.parametrize("n_calls", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_resumed_run_ends_with_the_same_model(
    nine: Make, monkeypatch: pytest.MonkeyPatch, n_calls: int
) -> None:
    """With new keys: what is added up does not depend on them, bit for bit."""
    whole, settings = nine(*MASKED), nine(*MASKED)
    expected = _run(whole)
    with pytest.MonkeyPatch.context() as cut:
        original, calls = RobustAggregation.aggregate_train, [0]

        def aggregate_train(*args: Any) -> Any:
            if calls[0] == n_calls:
                raise KeyboardInterrupt
            calls[0] += 1
            return original(*args)

        cut.setattr(RobustAggregation, "aggregate_train", aggregate_train)
        with pytest.raises(KeyboardInterrupt):
            _run(settings)
    found = _run(settings.model_copy(update={"resume": True}))
    np.testing.assert_array_equal(_vector(settings), _vector(whole))
    assert found["rounds"] == expected["rounds"]
    assert found["metrics"] == expected["metrics"]


@pytest.mark.slow
def test_worker_processes_give_the_same_model(nine: Make) -> None:
    settings = nine(*MASKED), nine(*MASKED, "runtime.n_workers=2")
    results = [_run(each) for each in settings]
    np.testing.assert_array_equal(*map(_vector, settings))
    assert results[0]["rounds"] == results[1]["rounds"]


# --- liars --------------------------------------------------------------------------------------


def _poisons_data(name: str) -> bool:
    return isinstance(ATTACKS[name]().played, DataAttack)


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
@pytest.mark.parametrize("name", sorted(name for name in ATTACKS if not _poisons_data(name)))
def test_attacks_on_replies_are_refused_with_the_remedy(nine: Make, name: str, mode: str) -> None:
    settings = nine(f"aggregation={mode}", f"attack={name}")
    with pytest.raises(ConfigurationError) as caught:
        factory(settings.runtime, "runtime", settings=settings)()
    assert f"with aggregation={mode} there are none to be seen" in str(caught.value)
    assert "aggregation=plain aggregation.group_size=M" in str(caught.value)


def test_a_lie_about_examples_is_refused_too(nine: Make) -> None:
    settings = nine("aggregation=masked", "attack=label_flip", "attack.claimed_examples=1000")
    with pytest.raises(ConfigurationError, match=r"attack\.claimed_examples=1000 rewrites"):
        factory(settings.runtime, "runtime", settings=settings)()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(filter(_poisons_data, ATTACKS)))
def test_attacks_on_data_are_as_in_plain(nine: Make, name: str) -> None:
    """The liars' updates are in the sum, so the model is that of the plain mean."""
    options = ("strategy.weights=equal", f"attack={name}")
    plain, masked = nine(*options), nine("aggregation=masked", *options)
    honest = nine(*MASKED)
    for settings in (plain, masked, honest):
        _run(settings)
    np.testing.assert_allclose(_vector(masked), _vector(plain), rtol=1e-5, atol=1e-6)
    assert np.abs(_vector(masked) - _vector(honest)).max() > 1e-3
