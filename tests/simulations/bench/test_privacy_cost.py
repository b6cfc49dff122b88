from collections.abc import Callable
from pathlib import Path

import pytest

from fedtrade.settings import Settings
from simulations.bench.privacy_cost import run


@pytest.mark.slow
def test_each_epsilon_is_run_as_often_as_asked(
    tiny: Callable[..., Settings], tmp_path: Path
) -> None:
    overrides = [
        "data=csv",
        f"data.path={tiny().data.options['path']}",
        "federation.rounds=1",
        "federation.history_bars=60",
        "evaluation.test_bars=40",
        "partition.n_assets=2",
        "progress=none",
    ]
    records = run(
        n_participants=(2,),
        epsilons=(8.0, 50.0),
        levels=("participant", "label"),
        n_repeats=(2,),
        overrides=overrides,
        n_workers=0,
        out=str(tmp_path),
    )
    cases = {record.case for record in records}
    assert len(cases) == 1 + 2 * 2 * 2
    assert "2_participant_50_1" in cases
    scores = [r.value for r in records if r.metric == "pinball" and r.subject == "fedtrade"]
    assert len(scores) == len(cases)
    assert all(score is not None and score > 0.0 for score in scores)
    (alone,) = [r for r in records if r.metric == "pinball" and r.subject == "local_tuned"]
    assert alone.case == "2_exact"
    assert (tmp_path / "cost.png").exists()
