from collections.abc import Callable
from typing import Any

import pytest

from fedtrade.report.known_metrics import Column, describe
from fedtrade.report.privacy_cost import CostRun, cost_panels
from fedtrade.report.results import Results, parse_results
from fedtrade.report.sweep import gather, sweep_report, write_cost

Make = Callable[..., dict[str, Any]]

PARTICIPANT, RECORD = "privacy.participant.epsilon", "privacy.record.epsilon"


@pytest.fixture
def column(make_content: Make) -> Column:
    headline = parse_results(make_content()).headline
    return Column(describe(headline.metric, headline), headline.level)


def test_runs_that_differ_in_privacy_alone_share_a_panel(column: Column) -> None:
    def run(n: int, score: float | None, **settings: str) -> CostRun:
        named = {key.replace("__", "."): value for key, value in settings.items()}
        return CostRun({"federation.n": str(n), **named}, score, 9.0, column)

    first, second = cost_panels(
        [
            run(10, 7.0),
            run(10, 7.1, privacy__participant__epsilon="8.0"),
            run(10, 7.3, privacy__participant__epsilon="8.0", task__baselines="ewma"),
            run(10, 8.0, privacy__participant__epsilon="1.0"),
            run(100, 6.0),
            run(100, 6.5, privacy__record__epsilon="2.0", privacy__record__unit="day"),
            run(100, None, privacy__record__epsilon="1.0"),
            run(1000, 5.0),
        ]
    )
    assert first.title == "n=10"
    assert first.exact == [7.0]
    assert first.private == {"participant": {8.0: [7.1, 7.3], 1.0: [8.0]}}
    assert second.private == {"record (day)": {2.0: [6.5]}}
    assert second.alone == [9.0, 9.0]


def private(make_content: Make, epsilon: float | None) -> Results:
    content = make_content(n_participants=2, n_episodes=1)
    level = None if epsilon is None else {"epsilon": epsilon}
    content["settings"]["privacy"] = {"record": None, "participant": level}
    return parse_results(content)


def test_a_sweep_over_epsilon_shows_the_curve(make_content: Make, tmp_path: Any) -> None:
    runs = {str(e): private(make_content, e) for e in (None, 1.0, 8.0)}
    sweep = gather(runs)
    assert "What privacy costs" in sweep_report(sweep)
    write_cost(sweep, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_without_privacy_there_is_no_curve(make_content: Make, tmp_path: Any) -> None:
    sweep = gather({str(k): private(make_content, None) for k in range(2)})
    assert "What privacy costs" not in sweep_report(sweep)
    with pytest.raises(ValueError, match="needs runs with and without"):
        write_cost(sweep, tmp_path / "cost.png")
