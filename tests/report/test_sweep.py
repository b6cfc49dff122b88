import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedtrade.errors import CheckpointError
from fedtrade.report.comparisons import SUMMED_SCORES
from fedtrade.report.results import Results, parse_results, write_results
from fedtrade.report.settings_text import data_source, find_setting, flatten
from fedtrade.report.sweep import (
    gather,
    print_sweep,
    read_sweep,
    sweep_csv,
    sweep_report,
    write_sweep,
)

Make = Callable[..., dict[str, Any]]


def run(make_content: Make, seed: int, history: int) -> Results:
    content = make_content(n_participants=2, n_episodes=1, seed=seed)
    content["settings"] |= {"seed": seed, "out": f"multirun/{seed}"}
    content["settings"]["task"]["history_days"] = history
    return parse_results(content)


@pytest.fixture
def runs(make_content: Make) -> dict[str, Results]:
    return {str(seed): run(make_content, seed, 60 + 190 * (seed % 2)) for seed in range(3)}


def test_only_settings_that_differ_are_shown(runs: dict[str, Results]) -> None:
    sweep = gather(runs)
    assert sweep.keys == ("seed", "task.history_days")
    assert [dict(row.overrides)["task.history_days"] for row in sweep.rows] == ["60", "250", "60"]
    assert sweep.rows[0].score == pytest.approx(6.55e-4)
    assert sweep.rows[0].comparison is not None
    assert sweep.rows[0].comparison.against == "har_mix_t6"


def test_a_setting_that_one_run_lacks_is_empty(make_content: Make) -> None:
    first, second = run(make_content, 0, 60), run(make_content, 0, 60)
    second.settings["extra"] = True
    sweep = gather({"a": first, "b": second})
    assert [row.overrides for row in sweep.rows] == [(("extra", ""),), (("extra", "true"),)]


def test_jobs_are_read_in_their_order(make_content: Make, tmp_path: Path) -> None:
    for job in (10, 9, 0):
        write_results(run(make_content, job, 60), tmp_path / str(job) / "results.json")
    (tmp_path / "3").mkdir()
    assert [row.name for row in read_sweep(tmp_path).rows] == ["0", "9", "10"]


def test_nothing_to_gather_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no results\.json below"):
        read_sweep(tmp_path)


def test_a_broken_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"results\.json is not a valid"):
        read_sweep(tmp_path)


def test_the_csv_holds_raw_numbers(runs: dict[str, Results]) -> None:
    rows = list(csv.DictReader(io.StringIO(sweep_csv(gather(runs)))))
    assert len(rows) == 3
    assert rows[1]["task.history_days"] == "250"
    assert float(rows[1]["value"]) == pytest.approx(6.55e-4)
    assert float(rows[1]["gain"]) == 0.016
    assert rows[1]["hardest_baseline"] == "har_mix_t6"
    assert rows[1]["verdict"] == runs["1"].verdict


def test_the_table_is_printed(runs: dict[str, Results]) -> None:
    console = Console(file=io.StringIO(), width=100)
    print_sweep(gather(runs), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "3 runs, 2 settings varied" in text
    assert "history_days" in text
    assert "6.55 bp" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_page_has_a_plot_and_escapes(runs: dict[str, Results]) -> None:
    runs["0"].settings["data"] = {"name": "<b>mine</b>"}
    page = sweep_report(gather(runs))
    assert page.count("<svg ") == 1
    assert "<b>" not in page
    assert "seed=2, history_days=60" in page


def test_runs_whose_gains_have_other_units_are_drawn_apart(
    runs: dict[str, Results], signal: Results
) -> None:
    sweep = gather(runs | {"signal": signal})
    page = sweep_report(sweep)
    assert page.count("<svg ") == 2
    assert page.count("gain, bp/day (federated better \u2192)<") == 1
    assert page.count("gain (federated better \u2192)<") == 1
    assert "\u22120.50\u00a0bp/day" in page
    console = Console(file=io.StringIO(), width=160)
    print_sweep(sweep, console)
    assert isinstance(console.file, io.StringIO)
    assert "-0.50 bp/day" in console.file.getvalue()


def test_deflated_ratios_of_several_signal_runs_are_put_into_proportion(
    runs: dict[str, Results], signal: Results
) -> None:
    (note,) = gather(runs | {"a": signal, "b": signal}).notes
    assert "against all that were tried here, 2 (runs) times task.n_trials." in note
    sweep = gather({"a": signal, "b": signal})
    assert note in sweep_report(sweep).replace("\u00a0", " ")
    console = Console(file=io.StringIO(), width=400)
    print_sweep(sweep, console)
    assert isinstance(console.file, io.StringIO)
    assert note in console.file.getvalue()
    assert gather(runs | {"a": signal}).notes == ()


def test_a_sweep_of_one_and_a_run_without_metrics(
    runs: dict[str, Results], make_content: Make, tmp_path: Path
) -> None:
    write_sweep(gather({".": runs["0"]}), tmp_path)
    assert "1 run, 0 settings varied" in (tmp_path / "sweep.html").read_text()
    content = make_content(n_participants=1, n_episodes=1)
    content["metrics"] = []
    empty = gather({".": parse_results(content)})
    table, page = write_sweep(empty, tmp_path)
    assert "<svg" not in page.read_text()
    assert next(csv.DictReader(io.StringIO(table.read_text())))["gain"] == ""


def test_the_data_have_a_name() -> None:
    assert data_source({"data": {"_target_": "fedtrade.market.sources.sp500"}}) == "sp500"
    assert data_source({"data": {"_target_": "a.read_csv", "path": "x.csv"}}) == "read_csv x.csv"
    assert data_source({"data": "mine"}) == "mine"
    assert data_source({}) == ""


def test_settings_by_dotted_key() -> None:
    settings = {"a": 1, "b": {"a": 2, "c": {"d": [3]}}}
    assert flatten(settings) == {"a": 1, "b.a": 2, "b.c.d": [3]}
    assert find_setting(settings, "a") == 1
    assert find_setting(settings, "d") == [3]
    assert find_setting(settings, "nothing") is None


def test_a_sweep_says_why_columns_of_summed_scores_are_empty(
    runs: dict[str, Results], summed: Results
) -> None:
    sweep = gather(runs | {"summed": summed})
    assert sweep.notes == (f"In 1 of 4 runs columns are empty: s{SUMMED_SCORES[1:]}",)
    assert gather({"a": summed, "b": summed}).notes[0].startswith("In every run columns are empty")
    (row,) = (r for r in csv.DictReader(io.StringIO(sweep_csv(sweep))) if r["run"] == "summed")
    assert (row["share_better"], row["worst_gain"]) == ("", "")
    console = Console(file=io.StringIO(), width=200)
    print_sweep(sweep, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (line,) = (line for line in lines if line.strip().startswith("summed"))
    assert line.split()[-2:] == ["n/a", "n/a"]
    assert sweep.notes[0] in " ".join(" ".join(lines).split())
