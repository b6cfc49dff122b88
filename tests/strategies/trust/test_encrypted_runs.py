"""Whole runs with encrypted sums: failures in the results, resumption, worker processes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp import Grid

from fedtrade.baselines.ewma import ewma_t6
from fedtrade.components import factory
from fedtrade.errors import FedtradeError
from fedtrade.model_file import read_model
from fedtrade.settings import Settings
from simulations.grid import simulate
from strategies.robust import RobustAggregation
from tests.strategies.trust.encrypted import APP, EQUAL, HOLDER, Make, encrypted
from tests.strategies.trust.federation import Fate, MeddledGrid, composer

Results = dict[str, Any]


@pytest.fixture
def five(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, 5, n_rounds=2)


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures and the forecasts that are slow to fit."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})


def _run(settings: Settings, fate: Fate | None = None) -> Results:
    if fate is None:
        factory(settings.runtime, "runtime", settings=settings)()
    else:
        simulate(
            "strategies.server_app:app",
            APP,
            n_participants=settings.n_nodes or 1,
            run_config={"settings": settings.to_json()},
            seed=settings.seed,
            around=lambda grid: _meddled(grid, fate),
        )
    results: Results = json.loads((Path(settings.out) / "results.json").read_text())
    return results


def _meddled(grid: Grid, fate: Fate | None) -> Grid:
    return MeddledGrid(grid, fate)


def _vector(settings: Settings) -> np.ndarray:
    return read_model(Path(settings.out) / "model.safetensors").model.vector


@pytest.mark.parametrize(
    "overrides", [(), pytest.param(("runtime.n_workers=2",), marks=pytest.mark.slow)]
)
def test_the_model_is_that_of_plain_sums(five: Make, overrides: tuple[str, ...]) -> None:
    """Up to the steps of the numbers, whose effects training makes larger."""
    plain, hidden = five(EQUAL), encrypted(five, *overrides)
    first, second = _run(plain), _run(hidden)
    np.testing.assert_allclose(_vector(hidden), _vector(plain), rtol=1e-3, atol=1e-4)
    assert first["failures"] == second["failures"] == []
    assert {entry["n_replies"] for entry in second["rounds"]} == {5}


def test_a_round_without_the_key_holder_stands_in_the_results(five: Make) -> None:
    """As skipped, with the reason, and of nobody's fault among the participants."""
    decrypted: list[int] = []

    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        if number != HOLDER or "decrypt" not in stages:
            return None
        decrypted.append(stages["decrypt"])
        return "error" if len(decrypted) == 4 else None  # two sums, a round, then this one

    results = _run(encrypted(five, "federation.rounds=3"), fate)
    (failure,) = results["failures"]
    assert failure["participant"] == "-1"
    assert failure["round"] == 2
    assert failure["reason"] == "the round is skipped: the key holder: it broke down"
    norms = [entry["update_norm"] > 0.0 for entry in results["rounds"][:3]]
    assert norms == [True, False, True]


def test_without_the_sums_before_training_a_run_ends_with_the_reason(five: Make) -> None:
    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        return "error" if number == HOLDER and "decrypt" in stages else None

    with pytest.raises(FedtradeError, match="the key holder: it broke down"):
        _run(encrypted(five), fate)


def test_a_resumed_run_ends_with_the_same_model(five: Make) -> None:
    """With new keys, on which exact sums do not depend."""
    whole, settings = encrypted(five), encrypted(five)
    expected = _run(whole)
    with pytest.MonkeyPatch.context() as cut:
        original, calls = RobustAggregation.aggregate_train, [0]

        def aggregate_train(*args: Any) -> Any:
            if calls[0] == 1:
                raise KeyboardInterrupt
            calls[0] += 1
            return original(*args)

        cut.setattr(RobustAggregation, "aggregate_train", aggregate_train)
        with pytest.raises(KeyboardInterrupt):
            _run(settings)
    found = _run(settings.model_copy(update={"resume": True}))
    np.testing.assert_array_equal(_vector(settings), _vector(whole))
    assert found["metrics"] == expected["metrics"]


@pytest.mark.parametrize("scheme", ["bfv", pytest.param("ckks", marks=pytest.mark.slow)])
def test_scores_are_summed_exactly_under_any_scheme(five: Make, scheme: str) -> None:
    """Federated sums have a scheme of their own where that of updates is approximate.

    What is said of the federated model, by itself or beside others, follows its noisy updates.
    """
    name = f"aggregation.scheme={scheme}"
    results = _run(encrypted(five, name, "evaluation.scores=summed", "evaluation.show_path=false"))
    plain = _run(five(EQUAL, "evaluation.scores=summed", "evaluation.show_path=false"))
    assert results["failures"] == []

    def of_others(found: Results) -> list[Any]:
        return [row for row in found["metrics"] if "federated" not in json.dumps(row)]

    assert len(of_others(results)) > 10
    for first, second in zip(of_others(results), of_others(plain), strict=True):
        assert set(first) == set(second)
        for key, value in first.items():
            if isinstance(value, float):
                assert value == pytest.approx(second[key], rel=1e-6, abs=1e-8)
