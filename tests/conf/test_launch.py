import os
import sys
from pathlib import Path

import pytest

from conf import compose
from conf.launch import runs_of
from fedtrade.errors import ConfigurationError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_run_is_what_compose_gives(empty_folder: Path) -> None:
    assert runs_of(["federation.rounds=3"]) == [compose(["federation.rounds=3"])]
    assert not list(empty_folder.iterdir())


def test_a_sweep_gives_each_point_a_folder(empty_folder: Path) -> None:
    runs = runs_of(["out=x/y", "--multirun", "seed=1,2", "model=linear,mlp"])
    assert [(run.out, run.seed, run.model.target.rpartition(".")[2]) for run in runs] == [
        ("x/y/0", 1, "Linear"),
        ("x/y/1", 1, "MLP"),
        ("x/y/2", 2, "Linear"),
        ("x/y/3", 2, "MLP"),
    ]
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize("wrong", ["seed=0,-1", "model=linear,nothing"])
def test_a_mistake_in_one_point_refuses_all(wrong: str, empty_folder: Path) -> None:
    with pytest.raises(ConfigurationError):
        runs_of(["-m", wrong])
    assert not list(empty_folder.iterdir())


def test_what_only_prints_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert runs_of(["--cfg", "job"]) == []
    assert "seed: 0" in capsys.readouterr().out


def test_the_process_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["a", "b"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    runs_of([])
    with pytest.raises(ConfigurationError):
        runs_of(["nonsense=1"])
    assert sys.argv == ["a", "b"]
    assert "HYDRA_FULL_ERROR" not in os.environ
