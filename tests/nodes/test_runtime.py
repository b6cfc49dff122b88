"""`runtime=superlink`, and runs that are submitted to a connection."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from conf import compose
from fedtrade.errors import ConfigurationError, NodeError, OutputError
from fedtrade.folder_lock import held
from fedtrade.nodes import runtime
from fedtrade.nodes.flower import write_connection
from fedtrade.nodes.ports import free_port
from fedtrade.settings import Settings
from simulations import inprocess
from tests.nodes.commands import HOST, Command, wait_until_gone

Make = Callable[..., Settings]
SMALL = ("federation.n_participants=3", "progress=plain", "runtime=superlink")


def test_liars_are_for_simulations(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"attack\._target_=.*use runtime=inprocess"):
        runtime.run(tiny("attack=sign_flip"))


def test_a_folder_that_another_run_writes_to_is_refused_before_anything_starts(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "ENDING_S", 0.0)
    settings = tiny()
    with (
        held(Path(settings.out), "out"),
        pytest.raises(OutputError, match=f"out={settings.out} is used by another process"),
    ):
        runtime.run(settings)


def test_an_executor_that_there_is_not(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match="must be 'warm' or 'stock', got 'cold'"):
        runtime.run(tiny(), executor="cold")  # type: ignore[arg-type]


def test_a_connection_that_is_not_written_down(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"no connection 'nowhere' in .*config\.toml"):
            runtime.run(tiny(), connection="nowhere")
    assert not list(tmp_path.iterdir())
    (tmp_path / "config.toml").write_text("[superlink")
    with pytest.raises(ConfigurationError, match=r"config\.toml cannot be read: "):
        runtime.run(tiny(), connection="nowhere")


def test_a_superlink_that_is_not_there(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "ca.crt").write_text("")
    write_connection(tmp_path, f"{HOST}:{free_port(HOST, 0, 'port')}", tmp_path / "ca.crt")
    with pytest.raises(NodeError, match="the run could not be submitted: ") as caught:
        runtime.run_on(tiny(), "fedtrade")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_gives_what_a_run_in_process_gives(tmp_path: Path) -> None:
    overrides = (
        "data.assets=[AAPL,AMD,BAC]",
        "federation=small",
        "federation.rounds=1",
        "evaluation=short",
        "evaluation.test_bars=20",
        "evaluation.bootstrap_resamples=100",
        *SMALL,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = ("simulate", *overrides, f"out={tmp_path / 'real'}")
    command = Command(*arguments, home=tmp_path / "home", TMPDIR=str(scratch))
    command.wait_for("round", 120.0)
    family = command.family()
    assert len(family) > 6
    assert command.wait(240.0) == 0, command.said
    assert command.lines[-1] == f"Report: {tmp_path / 'real' / 'report.html'}"
    wait_until_gone(family, 5.0)
    assert not list(scratch.glob("fedtrade-*"))
    inprocess.run(compose([*overrides, f"out={tmp_path / 'here'}"]))
    real, here = (
        json.loads((tmp_path / place / "results.json").read_text()) for place in ("real", "here")
    )
    assert real.keys() == here.keys()
    models = [load_file(tmp_path / place / "model.safetensors") for place in ("real", "here")]
    for name, values in models[1].items():
        np.testing.assert_allclose(models[0][name], values, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    """What the ServerApp raised, in one line and with the status of an error."""
    overrides = ("federation=small", "federation.history_bars=100000", "progress=none")
    command = Command(
        "simulate", *overrides, *SMALL[::2], f"out={tmp_path / 'out'}", home=tmp_path / "home"
    )
    assert command.wait(120.0) == 2
    (sentence,) = command.lines
    assert sentence.startswith("Error: ")
    assert "history_bars" in sentence
