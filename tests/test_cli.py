"""The command line as a user meets it; most runs share this process to import only once."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from fedtrade.cli import _options, main
from fedtrade.folder_lock import held
from fedtrade.settings import Settings

N_BARS, N_ASSETS = 150, 4


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_t(6, size=(N_BARS, N_ASSETS))
    days = pd.bdate_range("2018-01-01", periods=N_BARS, name="date")
    return pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), index=days, columns=list("ABCD"))


@pytest.fixture(scope="module")
def tiny(prices: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides of a run of a second or two."""
    path = tmp_path_factory.mktemp("data") / "prices.csv"
    prices.to_csv(path)
    return [
        "data=csv",
        f"data.path={path}",
        "federation=same_history",
        "federation.history_bars=60",
        "federation.n_participants=2",
        "federation.rounds=1",
        "evaluation.n_origins=1",
        "evaluation.test_bars=30",
        "evaluation.public_bars=0",
        "evaluation.pooled=false",
        "evaluation.bootstrap_resamples=100",
        "task.alone_steps=2",
    ]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs the command in an empty folder and gives its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fedtrade", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return Outcome(int(stop.value.code or 0), *capfd.readouterr())

    return run


def assert_one_sentence(outcome: Outcome, *named: str) -> None:
    """Exit status 2, nothing printed but one line on standard error that names what is wrong."""
    assert (outcome.status, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("Error: ")
    for text in named:
        assert text in lines[0]


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from fedtrade.cli import main; sys.argv = ['fedtrade', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'flwr', 'hydra', 'omegaconf', 'torch', 'numpy', 'pandas', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: fedtrade" in done.stdout


def test_help_of_a_command(cli: Cli) -> None:
    for option in ("--help", "-h"):
        status, out, _ = cli("simulate", option)
        assert status == 0
        assert "--config-dir" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["simulat"], "No such command 'simulat'. Did you mean 'simulate'?"),
        (["predict", "--model", "m", "--data", "d", "-o", "x"], "'x' is not of the form KEY=VALUE"),
        (["predict"], "Missing option '--model'"),
        (["bench", "nothing"], "there is no benchmark 'nothing'"),
        (["bench", "grid", "-o", "x"], "'x' is not of the form KEY=VALUE"),
        (["bench", "grid", "-o", "foo=1"], "bench.foo is not an option"),
    ],
)
def test_a_wrong_command(arguments: list[str], named: str, cli: Cli) -> None:
    assert_one_sentence(cli(*arguments), named)


def test_a_suggestion_is_made_once(cli: Cli) -> None:
    assert cli("simulat").err.count("Did you mean") == 1


def test_version(cli: Cli) -> None:
    status, out, err = cli("--version")
    assert (status, err) == (0, "")
    assert out.split()[0] == "fedtrade"
    assert out.split()[1][0].isdigit()


def test_options_are_yaml_or_texts() -> None:
    pairs = [
        "decimal=,",
        "separator=|",
        "date_format=%d.%m.%Y",
        "max_gap=3",
        "assets=[A,B]",
        "q=','",
    ]
    assert _options(pairs) == {
        "decimal": ",",
        "separator": "|",
        "date_format": "%d.%m.%Y",
        "max_gap": 3,
        "assets": ["A", "B"],
        "q": ",",
    }


# --- configuration ------------------------------------------------------------------------------


def test_config_is_read_back(cli: Cli) -> None:
    import yaml

    status, text, err = cli("config", "federation.rounds=3", "out='a (1)'")
    assert (status, err) == (0, "")
    line = cli("config", "--json", "federation.rounds=3", "out='a (1)'").out
    assert len(line.splitlines()) == 1
    settings = Settings.from_json(line)
    assert settings.federation.rounds == 3
    assert settings.out == "a (1)"
    assert Settings.from_mapping(yaml.safe_load(text)) == settings


def test_config_of_a_sweep_prints_each_run(cli: Cli) -> None:
    lines = cli("config", "seed=1,2", "-m", "federation.rounds=3", "out=x", "--json").out
    runs = [Settings.from_json(line) for line in lines.splitlines()]
    assert [(run.seed, run.out, run.federation.rounds) for run in runs] == [
        (1, "x/0", 3),
        (2, "x/1", 3),
    ]
    assert not list(Path().iterdir())


@pytest.mark.parametrize("way", ["option", "searchpath"])
def test_a_users_own_options_join(way: str, cli: Cli) -> None:
    folder = Path("mine/data")
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text("_target_: my.prices\npath: x.csv\n", encoding="utf-8")
    where = (
        ["--config-dir", "mine"]
        if way == "option"
        else [f"hydra.searchpath=[file://{folder.parent.absolute()}]"]
    )
    settings = Settings.from_json(cli("config", "--json", "data=ours", *where).out)
    assert settings.data.target == "my.prices"
    assert settings.data.options == {"path": "x.csv"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense=1"], ["no setting nonsense", "fedtrade config"]),
        (["federation.roundz=3"], ["federation.roundz", "did you mean federation.rounds?"]),
        (["model.hidden=[3]"], ["no setting model.hidden"]),
        (["model=transformer"], ["no model=transformer", "linear", "mlp"]),
        (["federation.rounds=many"], ["federation.rounds='many'", "integer"]),
        (["federation.rounds=-1"], ["federation.rounds=-1", "greater than or equal to 0"]),
        (["federation.rounds"], ["'federation.rounds'", "key=value"]),
        (["out=a(1"], ["'out=a(1'", "quoted"]),
        (["seed=1,2"], ["seed=1,2", "-m"]),
        (["data=csv"], ["data.path has no value", "data.path=VALUE"]),
        (["federation.n_participants=1"], ["n_participants=1", "federation=same_history"]),
        (["federation.n_participants=0"], ["federation.n_participants=0"]),
        (["progress=loud"], ["progress='loud'", "'plain'"]),
        (["--nonsense"], ["--nonsense", "--help"]),
        (["--config-dir", "nowhere"], ["nowhere"]),
        (["hydra.searchpath=[file:///nowhere]"], ["hydra.searchpath", "/nowhere"]),
        (["-m", "model=linear,transformer"], ["no model=transformer"]),
        (["-m", "federation.rounds=1,x"], ["federation.rounds='x'"]),
    ],
)
def test_wrong_settings(arguments: list[str], named: list[str], cli: Cli) -> None:
    assert_one_sentence(cli("simulate", *arguments), *named)
    assert not list(Path().iterdir())


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["data.path=missing.csv"], ["missing.csv", "data.path"]),
        (["data.path=no_close.csv"], ["no_close.csv", "'close'", "'foo'"]),
        (["data.path=flat.csv"], ["D", "no variance", "data.assets"]),
        (["data.path=gap.csv"], ["B", "40 bar", "data.max_gap"]),
        (["data.assets=[A,Z]"], ["'Z'", "A, B, C, D"]),
        (["federation.history_bars=1000"], ["1030 bars", "150"]),
        (["federation.history_bars=20"], ["federation.history_bars=20", "at least"]),
        (["evaluation.n_origins=50"], ["50 test", "fewer origins"]),
        (["federation.n_participants=5"], ["federation.n_participants=5", "4 assets"]),
        (["+model.depth=2"], ["model.depth is not an option"]),
        (["model._target_=fedtrade.nothing"], ["model._target_=fedtrade.nothing"]),
        (["task.local_steps=0"], ["local_steps", "0"]),
        (["runtime.workers=gpus"], ["runtime.workers", "'gpus'"]),
        (["runtime.n_workers=-1"], ["runtime.n_workers", "-1"]),
        (["runtime.n_workers=few"], ["runtime.n_workers", "'few'"]),
    ],
)
def test_data_and_windows_that_do_not_fit(
    overrides: list[str], named: list[str], tiny: list[str], prices: pd.DataFrame, cli: Cli
) -> None:
    flat, gap = prices.copy(), prices.copy()
    flat["D"] = 7.0
    gap.loc[gap.index[50:90], "B"] = np.nan
    long = prices.melt(ignore_index=False, var_name="symbol", value_name="foo")
    for name, frame in {"flat": flat, "gap": gap, "no_close": long}.items():
        frame.to_csv(f"{name}.csv")
    assert_one_sentence(cli("simulate", *tiny, *overrides, "out=out"), *named)
    assert not Path("out").exists()


def test_what_every_participant_refuses_is_said_once(
    tiny: list[str], prices: pd.DataFrame, cli: Cli
) -> None:
    """An error inside the apps comes back without the words of the machinery around it."""
    late = prices.copy()
    late.loc[late.index[:100], :] = np.nan
    late["A"] = prices["A"].where(np.arange(N_BARS) < 105)
    late.to_csv("late.csv")
    outcome = cli("simulate", *tiny, "data.path=late.csv", "out=out", "progress=none")
    assert_one_sentence(outcome, "no participant can take part: no asset of", "shorter history")
    assert "class" not in outcome.err


def test_small_and_short_run_on_one_asset_of_two_hundred_bars(cli: Cli) -> None:
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2018-01-01", periods=200, name="date")
    close = 100 * np.exp((0.01 * rng.standard_normal(200)).cumsum())
    pd.DataFrame({"A": close}, index=days).to_csv("p.csv", sep=";", decimal=",")
    quick = ["federation.rounds=1", "task.alone_steps=2", "evaluation.pooled=false"]
    small = ["data=csv", "data.path=p.csv", "federation=small", "evaluation=short", *quick]
    outcome = cli("simulate", *small, "out=out")
    assert outcome.status == 0, outcome.err
    assert_one_sentence(
        cli("simulate", *small, "federation=cold_start", "federation.n_participants=null"),
        "n_participants=1",
        "federation=small",
    )


# --- where results go ---------------------------------------------------------------------------


def test_out_that_is_a_file(tiny: list[str], cli: Cli) -> None:
    Path("taken").write_text("mine", encoding="utf-8")
    outcome = cli("simulate", *tiny, "out=taken", "progress=none")
    assert_one_sentence(outcome, "taken", "out=DIR")
    assert Path("taken").read_text(encoding="utf-8") == "mine"


@pytest.fixture
def small_files() -> Iterator[None]:
    """As on a full disk, no file can grow beyond a page."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(
    tiny: list[str], cli: Cli, small_files: None
) -> None:
    Path("out").mkdir()
    Path("out/results.json").write_text("{}", encoding="utf-8")
    outcome = cli("simulate", *tiny, "out=out", "progress=none")
    assert_one_sentence(outcome, "could not be written", "out/")
    assert not Path("out/results.json").exists()  # of an earlier run
    assert not list(Path("out").rglob(".*"))


def test_two_runs_do_not_write_into_one_folder(tiny: list[str], cli: Cli) -> None:
    Path("out").mkdir()
    Path("out/results.json").write_text("of the other run", encoding="utf-8")
    with held(Path("out"), "out"):
        outcome = cli("simulate", *tiny, "out=out", "progress=none")
    assert_one_sentence(outcome, "out=out is used by another process")
    assert Path("out/results.json").read_text(encoding="utf-8") == "of the other run"


# --- a run --------------------------------------------------------------------------------------


@pytest.fixture
def finished(tiny: list[str], cli: Cli) -> Outcome:
    return cli("simulate", *tiny, "out=out")


def test_a_run_prints_its_results_and_can_be_resumed(
    finished: Outcome, tiny: list[str], cli: Cli
) -> None:
    assert finished.status == 0, finished.err
    assert "participants" in finished.out
    assert finished.out.rstrip().endswith("Report: out/report.html")
    assert finished.err.startswith("episode 1/2: 1 round, 2 of 2 replied")
    assert {path.name for path in Path().iterdir()} == {"out"}
    metrics = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["metrics"]
    assert_one_sentence(
        cli("simulate", *tiny, "out=out", "resume=true", "model=mlp"), "model", "MLP", "Resume with"
    )
    assert_one_sentence(
        cli("simulate", *tiny, "out=out", "resume=true", "seed=4"), "seed=0", "4", "Resume with"
    )
    assert_one_sentence(cli("simulate", *tiny, "out=new", "resume=true"), "nothing to resume")
    assert not Path("new").exists()
    # A start that is refused keeps the checkpoint of the run before it.
    assert_one_sentence(cli("simulate", *tiny, "out=out", "evaluation.n_origins=50"))
    assert cli("simulate", *tiny, "out=out", "resume=true", "progress=none") == Outcome(0, "", "")
    assert json.loads(Path("out/results.json").read_text(encoding="utf-8"))["metrics"] == metrics


def test_one_participant_and_no_rounds_score_the_untrained_model(tiny: list[str], cli: Cli) -> None:
    outcome = cli(
        "simulate", *tiny, "federation.n_participants=1", "federation.rounds=0", "out=out"
    )
    assert outcome.status == 0, outcome.err
    assert outcome.err.startswith("episode 1/2: no rounds")
    records = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["metrics"]
    score = {
        r["arm"]: r["value"]
        for r in records
        if (r["metric"], r["level"], r["participant"]) == ("pinball", 0.01, "all")
    }
    assert score["federated"] == pytest.approx(score["ewma_t6"], rel=1e-4)
    assert "1 participant: nothing was federated; " in outcome.out


def test_a_sweep_gathers_its_runs(tiny: list[str], cli: Cli) -> None:
    outcome = cli("simulate", *tiny, "-m", "federation.rounds=0,1", "out=sweep")
    assert outcome.status == 0, outcome.err
    assert {path.name for path in Path().iterdir()} == {"sweep"}
    assert {path.name for path in Path("sweep").iterdir()} == {"0", "1", "sweep.csv", "sweep.html"}
    table = pd.read_csv("sweep/sweep.csv")
    assert list(table["federation.rounds"]) == [0, 1]
    assert "2 runs, 1 settings varied" in outcome.out
    assert "run 2/2: sweep/1" in outcome.err


def test_a_sweep_reports_what_finished_before_an_error(tiny: list[str], cli: Cli) -> None:
    outcome = cli(
        "simulate", *tiny, "-m", "evaluation.n_origins=1,50", "out=sweep", "progress=none"
    )
    assert outcome.status == 2
    assert outcome.err.startswith("Error: run 2 of 2: 50 test")
    assert Path("sweep/sweep.csv").exists()
    assert not Path("sweep/1").exists()


def test_a_defect_is_no_configuration_error(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr("simulations.inprocess.simulate", defect)
    monkeypatch.setattr(sys, "argv", ["fedtrade", "simulate", *tiny, "out=out"])
    with pytest.raises(TypeError, match="a defect"):
        main()


# --- Ctrl-C -------------------------------------------------------------------------------------

WORKERS = {
    "inline": ["runtime.n_workers=0"],
    "threads": ["runtime.n_workers=2", "runtime.workers=threads"],
    "processes": ["runtime.n_workers=1", "runtime.workers=processes"],
}


def interrupted(arguments: list[str], out: Path) -> tuple[int, str, float]:
    """Start the command as a terminal does, press Ctrl-C after a checkpoint of a round."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fedtrade.cli", "simulate", *arguments, f"out={out}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (out / "checkpoint" / "episode-0000.npz").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert_none_left(process.pid)
    return process.returncode, err, seconds


def assert_none_left(group: int) -> None:
    deadline = time.monotonic() + 20.0  # init may take its time to reap
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process was left behind")


@pytest.mark.parametrize(
    "kind",
    [
        "inline",
        pytest.param("threads", marks=pytest.mark.slow),
        pytest.param("processes", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_resume(
    kind: str, tiny: list[str], cli: Cli
) -> None:
    long = [*tiny, "federation.rounds=5", "task.local_steps=60", *WORKERS[kind]]
    assert cli("simulate", *long, "out=whole", "runtime.n_workers=0").status == 0
    status, err, seconds = interrupted(long, Path("cut"))
    assert status == 130
    assert seconds < 10.0  # about one on an idle machine
    assert "Traceback" not in err
    first, command = err.rstrip().splitlines()[-2:]
    assert first.startswith("Interrupted. The last checkpoint is in cut/checkpoint")
    assert command.split()[:2] == ["fedtrade", "simulate"]
    assert command.endswith("resume=true")
    assert not Path("cut/results.json").exists()
    assert cli(*command.split()[1:], "runtime.n_workers=0").status == 0
    whole, resumed = (
        json.loads(Path(name, "results.json").read_text(encoding="utf-8"))["metrics"]
        for name in ("whole", "cut")
    )
    assert resumed == whole


def test_ctrl_c_offers_no_checkpoint_of_an_earlier_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    Path("old/checkpoint").mkdir(parents=True)
    Path("old/checkpoint/run.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("fedtrade.cli._simulate", stop)
    assert "nothing was stored yet" in cli("simulate", "out=old").err
    assert "old/checkpoint" in cli("simulate", "out=old", "resume=true").err


def test_ctrl_c_before_the_first_round_has_nothing_to_resume(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedtrade.components.factory", stop)
    assert cli("simulate") == Outcome(
        130, "", "Interrupted before the first round: nothing was stored yet.\n"
    )
    monkeypatch.setattr("conf.launch.runs_of", stop)
    assert cli("simulate") == Outcome(130, "", "Interrupted.\n")
