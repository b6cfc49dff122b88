"""The same apps on Flower's Ray runtime; the processes it starts end with it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedtrade.components import factory
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.model_file import read_model
from fedtrade.settings import Settings
from simulations import ray as ray_runtime

SOURCE = """
import json
import time
from pathlib import Path
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client_app = ClientApp()
server_app = ServerApp()


@client_app.query()
def query(message, context):
    settings = json.loads(context.run_config["settings"])
    value = settings["scale"] * context.node_config["partition-id"]
    n = context.state.setdefault("n", MetricRecord({"n": 0}))
    n["n"] += 1
    reply = MetricRecord({"value": value, "n": n["n"]})
    return Message(RecordDict({"reply": reply}), reply_to=message)


@server_app.main()
def main(grid, context):
    settings = json.loads(context.run_config["settings"])
    if settings["scale"] < 0:
        raise ValueError(f"scale is {settings['scale']}")
    while len(list(grid.get_node_ids())) < 3:  # nodes join while the server already runs
        time.sleep(0.1)
    for _ in range(2):
        asked = [Message(RecordDict(), node, "query") for node in grid.get_node_ids()]
        replies = list(grid.send_and_receive(asked))
    said = sorted((r.content["reply"]["value"], r.content["reply"]["n"]) for r in replies)
    Path(settings["out"]).write_text(json.dumps(said))
"""


def _processes_naming(text: str) -> list[str]:
    """Command lines of living processes that were started with `text` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.ray
@pytest.mark.skipif(not ray_runtime.is_installed(), reason="needs the extra `ray`")
def test_apps_run_with_their_settings_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray_test_apps.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RAY_TEST_MARK", str(tmp_path))
    apps = {f"{kind}_app": f"ray_test_apps:{kind}_app" for kind in ("server", "client")}
    out = tmp_path / "out.json"
    seconds = ray_runtime.run_apps(
        settings_json=json.dumps({"scale": 1.5, "out": str(out)}), n_participants=3, **apps
    )
    assert 0 < seconds < 120
    assert json.loads(out.read_text()) == [[0.0, 2], [1.5, 2], [3.0, 2]]
    with pytest.raises(FedtradeError, match="scale is -1"):
        ray_runtime.run_apps(settings_json='{"scale": -1}', n_participants=2, **apps)
    with pytest.raises(FedtradeError, match="no_such_app"):
        ray_runtime.run_apps(
            settings_json='{"scale": 1}',
            n_participants=2,
            server_app=apps["server_app"],
            client_app="ray_test_apps:no_such_app",
        )
    if sys.platform == "linux":
        assert _processes_naming(f"RAY_TEST_MARK={tmp_path}") == []


def test_bad_arguments_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_runtime, "is_installed", lambda: False)
    with pytest.raises(ConfigurationError, match=r"fedtrade\[ray\]"):
        ray_runtime.run_apps(settings_json="{}", n_participants=2)
    monkeypatch.setattr(ray_runtime, "is_installed", lambda: True)
    with pytest.raises(ConfigurationError, match="got 0"):
        ray_runtime.run_apps(settings_json="{}", n_participants=0)


@pytest.mark.ray
@pytest.mark.skipif(not ray_runtime.is_installed(), reason="needs the extra `ray`")
@pytest.mark.parametrize("strategy", ["federated_averaging", "scaffold", "robust"])
def test_the_model_is_that_of_the_run_in_process(
    tiny: Callable[..., Settings], strategy: str
) -> None:
    """The same settings and full participation give the same model on both runtimes.

    SCAFFOLD's participants remember something from round to round.
    """
    vectors = []
    for runtime in ("ray", "inprocess"):
        settings = tiny(f"runtime={runtime}", f"strategy={strategy}", "federation.n_participants=2")
        factory(settings.runtime, "runtime", settings=settings)()
        vectors.append(read_model(Path(settings.out) / "model.safetensors").model.vector)
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-6)


@pytest.mark.ray
@pytest.mark.skipif(not ray_runtime.is_installed(), reason="needs the extra `ray`")
@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_private_sums_are_those_of_the_run_in_process(
    tiny: Callable[..., Settings], mode: str
) -> None:
    """Parties keep keys and masks from message to message, in whatever process they are."""
    vectors = []
    for runtime in ("ray", "inprocess"):
        settings = tiny(
            *(f"runtime={runtime}", f"aggregation={mode}", "strategy.weights=equal"),
            *("evaluation.n_origins=1", "evaluation.pooled=false"),
        )
        factory(settings.runtime, "runtime", settings=settings)()
        results = json.loads((Path(settings.out) / "results.json").read_text())
        assert results["failures"] == []
        vectors.append(read_model(Path(settings.out) / "model.safetensors").model.vector)
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-6)
