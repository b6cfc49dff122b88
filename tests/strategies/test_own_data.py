"""Runs whose server has no prices, and whose participants have each their own."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.model_file import read_model
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, write_local_settings
from fedtrade.nodes.settings import ClientSettings, Limits
from fedtrade.settings import BY_PARTICIPANT, Settings
from simulations.grid import simulate
from tests.conftest import make_market

Make = Callable[..., Settings]

NAMES = ("alpha", "beta", "gamma", "delta")
OWN = (
    "partition=own",
    "evaluation.pooled=false",
    "evaluation.public_bars=0",
    "evaluation.show_path=false",
    "evaluation.n_origins=1",
)
MASKED = (
    "aggregation=masked",
    "aggregation.dropout_share=0",
    "aggregation.colluding_share=0",
    "aggregation.adversary=semi_honest",
)


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder for each participant, with a file of its own asset."""
    panel = make_market(n_bars=180, n_assets=4)
    folders = []
    for asset, close in zip(panel.assets, panel.close.T, strict=True):
        folder = tmp_path_factory.mktemp(asset)
        frame = pd.DataFrame({"date": panel.bars, asset: close})
        frame.to_csv(folder / "mine.csv", index=False)
        folders.append(folder)
    return folders


def config_of(machine: Path, number: int, **allow: Any) -> dict[str, Any]:
    """What the node of a participant is started with."""
    (machine / "ca.crt").write_text("the consortium's")
    settings = ClientSettings.from_mapping(
        {
            "name": NAMES[number],
            "number": number,
            "superlink": "127.0.0.1:1",
            "root_certificates": str(machine / "ca.crt"),
            "key": "node.key",
            "state": mkdtemp(dir=machine),  # these runs have one id, others do not
            "data": {
                "_target_": "fedtrade.market.files.csv",
                "path": str(machine / "mine.csv"),
                "layout": "wide",
            },
            "allow": Limits(modes=("plain", "masked"), scores=BY_PARTICIPANT)
            .model_copy(update=allow)
            .to_mapping(),
        }
    )
    path = write_local_settings(settings)
    return {"role": "participant", LOCAL_SETTINGS: str(path)}


def run(settings: Settings, machines: list[Path], **limits_of_beta: Any) -> dict[str, Any]:
    """The results of a run over nodes with settings and prices of their own."""
    configs = {
        k: config_of(machine, k, **(limits_of_beta if k == 1 else {}))
        for k, machine in enumerate(machines)
    }
    simulate(
        "strategies.server_app:app",
        "clients.client_app:app",
        n_participants=len(machines),
        run_config={"settings": settings.to_json()},
        node_configs=configs,
        seed=settings.seed,
    )
    found: dict[str, Any] = json.loads((Path(settings.out) / "results.json").read_text())
    return found


def without_data(settings: Settings) -> Settings:
    """As of `data=own`, in a run to which each brings its own."""
    values = settings.to_mapping() | {"data": {"_target_": "fedtrade.market.sources.own"}}
    return Settings.from_mapping(values)


def vector(settings: Settings) -> np.ndarray:
    return read_model(Path(settings.out) / "model.safetensors").model.vector


@pytest.mark.parametrize("mode", [("aggregation=plain",), MASKED], ids=["plain", "masked"])
def test_the_model_is_that_of_a_run_whose_server_splits_the_same_prices(
    tiny: Make, machines: list[Path], mode: tuple[str, ...]
) -> None:
    own = without_data(tiny(*OWN, *mode))
    results = run(own, machines)
    assert results["failures"] == []
    assert {entry["arm"] for entry in results["metrics"]}.isdisjoint({"pooled", "frozen_nowcast"})
    split = tiny("evaluation.n_origins=1", *mode)
    simulate(
        "strategies.server_app:app",
        "clients.client_app:app",
        n_participants=4,
        run_config={"settings": split.to_json()},
        seed=split.seed,
    )
    np.testing.assert_array_equal(vector(own), vector(split))


def test_a_participant_whose_limits_forbid_the_run_is_named(
    tiny: Make, machines: list[Path]
) -> None:
    results = run(without_data(tiny(*OWN)), machines, modes=("masked",))
    reasons = {(e["participant"], e["round"], e["reason"]) for e in results["failures"]}
    assert reasons == {
        (
            "-1",
            0,
            "the run has aggregation=plain, and this participant allows masked (allow.modes).",
        )
    }
    assert {entry["n_replies"] for entry in results["rounds"]} == {3}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.pooled=true"], r"evaluation.pooled=true would train on everybody's data"),
        (
            ["evaluation.pooled=true", "evaluation.public_bars=60"],
            r"evaluation.pooled=true and evaluation.public_bars=60 would train .* "
            r"does not have them \(data=own stands for .*\): set evaluation.pooled=false",
        ),
        (["federation.n_participants=null"], "data=own leaves open how many participants there"),
    ],
)
def test_what_needs_the_prices_on_the_server_is_refused_at_once(
    tiny: Make, machines: list[Path], overrides: list[str], message: str
) -> None:
    settings = without_data(tiny(*OWN, *overrides))
    with pytest.raises(ConfigurationError, match=message):
        run(settings, machines)
    assert not Path(settings.out).exists()
