"""Our apps on Flower's own simulation runtime, which needs Ray (the extra `ray`).

`flwr run . CONNECTION` does the same from a checkout, by way of a local SuperLink that stays behind
(see the documentation). From Python there is no public way in Flower 1.41 that also takes a run
configuration: `run_simulation` is deprecated and has no parameter for it. So this module calls the
function beneath both, in an interpreter of its own, because Ray changes the environment, the import
path and the signal handlers of the process that starts it.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.holdings import with_participants
from fedtrade.settings import Settings

__all__ = ["CLIENT_APP", "SERVER_APP", "is_installed", "run", "run_apps"]

SERVER_APP = "strategies.server_app:app"
CLIENT_APP = "clients.client_app:app"

_GRACE_S = 10.0
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray 2.55 announces a coming change of this variable's meaning unless it is set.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

# Flower reads the run configuration of the participants from an app's folder; its keys must be
# declared there, the values come with the run.
_PYPROJECT = """\
[project]
name = "fedtrade-run"
version = "0.1.0"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "fedtrade"

[tool.flwr.app.components]
serverapp = "{server_app}"
clientapp = "{client_app}"

[tool.flwr.app.config]
settings = ""
"""


def is_installed() -> bool:
    """Whether Ray can be imported (without importing it)."""
    return importlib.util.find_spec("ray") is not None


def run(settings: Settings, *, n_cpus: float = 1) -> None:
    """The runtime `ray`: run the settings; the ServerApp writes the results to `settings.out`.

    Parameters
    ----------
    n_cpus : float
        Processor cores that Ray reserves for each participant at work.

    Raises
    ------
    ConfigurationError
        If some participants shall lie.
    FedtradeError
        As `run_apps`.
    """
    if settings.attack is not None:
        raise ConfigurationError(
            f"attack._target_={settings.attack.target} needs all replies of a round in one place; "
            "use runtime=inprocess (or attack=none)."
        )
    settings = with_participants(settings)
    run_apps(
        settings_json=settings.model_copy(
            update={"out": str(Path(settings.out).absolute())}
        ).to_json(),
        n_participants=settings.n_nodes or 1,
        n_cpus=n_cpus,
    )


def run_apps(
    *,
    settings_json: str,
    n_participants: int,
    server_app: str = SERVER_APP,
    client_app: str = CLIENT_APP,
    n_cpus: float = 1,
    log_level: str = "WARNING",
) -> float:
    """Run the apps on Ray and return how many seconds it took, without starting Python.

    Nothing stays behind: neither processes nor Ray's session folder.

    Parameters
    ----------
    settings_json : str
        The value of `settings` in the run configuration of server and participants.
    server_app, client_app : str
        Where to import the apps from.
    n_cpus : float
        Processor cores that Ray reserves for each participant at work.
    log_level : str
        Flower's log level.

    Raises
    ------
    ConfigurationError
        If Ray is not installed or `n_participants` is not positive.
    FedtradeError
        If the run fails; the message carries what the run raised.
    """
    if not is_installed():
        raise ConfigurationError(
            "the Ray runtime is not installed: `pip install 'fedtrade[ray]'`, or use the "
            "in-process runtime"
        )
    if n_participants < 1:
        raise ConfigurationError(f"n_participants must be at least 1, got {n_participants}")
    # Short, because Ray's socket paths must stay under 108 characters.
    with tempfile.TemporaryDirectory(prefix="ft", ignore_cleanup_errors=True) as folder:
        pyproject = _PYPROJECT.format(server_app=server_app, client_app=client_app)
        (Path(folder) / "pyproject.toml").write_text(pyproject, encoding="utf-8")
        request: dict[str, str | int | float] = {
            "settings": settings_json,
            "n_participants": n_participants,
            "server_app": server_app,
            "client_app": client_app,
            "n_cpus": n_cpus,
            "folder": folder,
        }
        return _run_elsewhere(request, log_level)


def _run_elsewhere(request: dict[str, str | int | float], log_level: str) -> float:
    """Serve `request` in another interpreter and read its outcome."""
    folder = Path(str(request["folder"]))
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    environment = {
        **os.environ,
        **_QUIET,
        "FLWR_LOG_LEVEL": log_level,
        "FLWR_HOME": str(folder / "flwr"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "simulations.ray", str(folder / "request.json")],
        env=environment,
        start_new_session=True,  # so that Ctrl-C, and what we kill, are ours to decide
    )
    try:
        code = child.wait()
    finally:
        _end(child)
    outcome = folder / "outcome.json"
    if not outcome.exists():
        raise FedtradeError(f"the Ray run ended with exit code {code} before it could finish")
    result = json.loads(outcome.read_text(encoding="utf-8"))
    if result["error"]:
        raise FedtradeError(f"the Ray run failed: {result['error']}")
    return float(result["seconds"])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop whatever of the child's process group still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def _serve(request_file: Path) -> None:
    """Run what the file asks for and write how it ended beside it."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    began = time.perf_counter()
    error = ""
    try:
        _simulate(request)
    except Exception as failure:
        cause = failure.__cause__ or failure
        error = f"{type(cause).__name__}: {cause}"
    outcome = {"seconds": time.perf_counter() - began, "error": error}
    written = request_file.with_name("outcome.part")
    written.write_text(json.dumps(outcome), encoding="utf-8")
    written.replace(request_file.with_name("outcome.json"))


def _simulate(request: dict[str, str | int | float]) -> None:
    # Imported here: these need Ray, and take two seconds.
    from flwr.app import Context, RecordDict
    from flwr.common.constant import SUPERLINK_NODE_ID
    from flwr.simulation.run_simulation import _run_simulation
    from flwr.supercore.constant import NOOP_FEDERATION_ID
    from flwr.supercore.run import Run
    from flwr.supercore.telemetry import EventType

    from simulations.task_identity import Identity, task_identity

    identity = Identity(run_id=1)
    run_config = {"settings": str(request["settings"])}
    description = Run.create_empty(identity.run_id)
    description.primary_task_id = identity.task_id
    description.federation_id = NOOP_FEDERATION_ID
    description.override_config = dict(run_config)
    context = Context(
        run_id=identity.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=dict(run_config),
    )
    folder = str(request["folder"])
    with task_identity(identity):
        _run_simulation(
            num_supernodes=int(request["n_participants"]),
            exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
            server_app_attr=str(request["server_app"]),
            client_app_attr=str(request["client_app"]),
            server_app_context=context,
            backend_config={
                "init_args": {"_temp_dir": folder},
                "client_resources": {"num_cpus": float(request["n_cpus"]), "num_gpus": 0.0},
            },
            app_dir=folder,
            is_app=True,
            run=description,
        )


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # After a failure Flower leaves a server thread that waits for replies that nobody will send.
    os._exit(0)
