"""The arena from the command line, and what it refuses."""

import sys
from pathlib import Path

import pytest
import yaml

from fedtrade.cli import main
from fedtrade.errors import ConfigurationError
from simulations.arena.launch import arena_settings, plan_of, presets
from simulations.arena.results import read_arena


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs the command and gives its status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedtrade", "arena", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return (int(stop.value.code or 0), *capfd.readouterr())

    return run


def test_from_the_command_line_to_json_html_and_tables(cli, tiny_overrides, tmp_path) -> None:
    copy = tmp_path / "copy.json"
    status, out, err = cli(*tiny_overrides, "progress=plain", "--json", str(copy))
    assert status == 0, err
    folder = tmp_path / "arena"
    results = read_arena(folder / "arena.json")
    assert read_arena(copy) == results
    assert {(r.rule, r.attack) for r in results.records} == {
        (rule, attack) for rule in ("mean", "median") for attack in ("none", "sign_flip")
    }
    assert len(list((folder / "cells").iterdir())) == 4
    assert "sign_flip at 20 %" in out
    assert f"Report: {folder / 'arena.html'}" in out
    assert (folder / "arena.html").read_text(encoding="utf-8").count("<svg") == 1
    assert "1/4 digits/iid: mean against none, 20 %, seed 0" in err
    assert cli(*tiny_overrides, "progress=plain")[2] == ""  # all are found, none is run


def test_a_fresh_start_forgets_finished_cells(cli, tiny_overrides, tmp_path) -> None:
    assert cli(*tiny_overrides)[0] == 0
    _, _, err = cli(*tiny_overrides, "progress=plain", "resume=false")
    assert len(err.splitlines()) == 4


def test_a_plan_runs_nothing(cli, tiny_overrides, tmp_path) -> None:
    status, out, _ = cli("--plan", *tiny_overrides)
    assert status == 0
    assert yaml.safe_load(out)["rules"] == [
        {"name": "mean", "_target_": None},
        {"name": "median", "_target_": None},
    ]
    assert "# 4 cells, 0 of them finished" in out
    assert not (tmp_path / "arena").exists()


def test_failed_cells_are_reported_at_the_end(cli, tiny_overrides, tmp_path) -> None:
    odd = "{name: odd, _target_: simulations.attacks.RoundView}"
    status, _, err = cli(*tiny_overrides, f"attacks=[none,{odd}]")
    assert status == 2
    assert "2 of 4 cells failed, the first is mean against odd on digits" in err
    assert len(read_arena(tmp_path / "arena" / "arena.json").failures) == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("rules=[krumm]", "rules: 'krumm'"),
        ("rules=['bucketing(0)+krum']", "rules: 'bucketing(0)+krum'"),
        ("attacks=[alei]", "attacks: 'alei': there is no attack=alei; choose from"),
        ("attacks=['alie(zz=1)']", "attacks: 'alie(zz=1)': there is no setting attack.zz"),
        ("problems=[digit]", "there is no problem 'digit'; choose from tail_risk, digits"),
        ("shares=[0.2,0.5]", "shares.1=0.5: input should be less than 0.5"),
        ("shares=[-0.1]", "shares.0=-0.1"),
        ("seeds=[]", "seeds"),
        ("seeds=[1,1]", "seeds: 1 is there more than once"),
        ("rules=[mean,mean]", "rules: 'mean' is there more than once"),
        ("rules=[{name: krum, sketch: 3}]", "krum has options (sketch) but no _target_"),
        ("assumed_share=0.7", "assumed_share=0.7"),
        ("problem.digits.levels=[]", "problem.digits.levels"),
        ("sharse=[0.2]", "there is no setting sharse; did you mean shares?"),
        ("n_workers=-1", "n_workers=-1"),
    ],
)
def test_a_mistake_is_one_sentence_with_key_and_value(override: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_of(arena_settings([override]))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_level_that_a_problem_does_not_know(cli, tiny_overrides) -> None:
    status, _, err = cli(*tiny_overrides, "problem.digits.levels=[odd]")
    assert status == 2
    assert "heterogeneity must be iid, dirichlet or sorted, got 'odd'" in err


def test_an_unknown_preset_is_refused(cli) -> None:
    status, _, err = cli("--preset", "nothing")
    assert status == 2
    assert "there is no preset 'nothing'; choose from groups, karimireddy, tail_risk" in err


@pytest.mark.parametrize("preset", [None, *presets()])
def test_every_configuration_can_be_planned(preset: str | None) -> None:
    settings = arena_settings((), preset)
    cells = plan_of(settings)
    assert len({cell.key for cell in cells}) == len(cells)
    assert Path(settings.out).parent == Path("runs")


def test_options_in_brackets_are_those_of_the_attack() -> None:
    settings = arena_settings(["attacks=['backdoor(columns=[1,2],values=[0.5,1.0])']"])
    (attack,) = {cell.attack_options for cell in plan_of(settings) if cell.share}
    assert attack is not None
    assert attack.options["columns"] == [1, 2]
