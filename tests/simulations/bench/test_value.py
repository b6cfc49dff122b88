from collections.abc import Callable
from pathlib import Path

import pytest

from fedtrade.report.results import read_results
from fedtrade.settings import Settings
from simulations.bench.value import CASES, run


@pytest.mark.slow
def test_records_are_those_of_the_runs(tiny: Callable[..., Settings], tmp_path: Path) -> None:
    """Each arm has its score, and the federated model a gain over each other arm."""
    settings = tiny()
    overrides = [
        "data=csv",
        f"data.path={settings.data.options['path']}",
        "federation.n_participants=2",
        "federation.rounds=1",
        "federation.history_bars=60",
        "evaluation.n_origins=1",
        "evaluation.test_bars=40",
        "progress=none",
    ]
    records = run(cases=["same_history_60"], overrides=overrides, n_workers=0, out=str(tmp_path))
    results = read_results(tmp_path / "same_history_60" / "results.json")
    assert {record.case for record in records} == {"same_history_60"}
    scores = {r.subject: r.value for r in records if r.metric == "pinball"}
    assert scores.keys() == (set(results.arms) - {"federated"}) | {"fedtrade"}
    gains = {
        r.metric.removeprefix("gain_vs:"): r.value
        for r in records
        if r.metric.startswith("gain_vs:")
    }
    for arm, gain in gains.items():
        ratio = 100.0 * (1.0 - scores["fedtrade"] / scores[arm])
        assert gain == pytest.approx(ratio, abs=1e-6)


def test_the_cases_are_those_that_are_promised() -> None:
    assert list(CASES) == ["cold_start_60", "same_history_250", "same_history_60"]
