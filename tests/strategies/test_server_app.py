"""Tiny runs from settings to files, on a market of 180 days and four assets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ArrayRecord, Context, Error, Message
from flwr.clientapp import ClientApp

from clients.client_app import app as honest
from clients.participant import Participant
from fedtrade import holdings
from fedtrade.baselines.ewma import ewma_t6
from fedtrade.components import factory
from fedtrade.errors import CheckpointError, DataError, FedtradeError, OutputError
from fedtrade.folder_lock import held
from fedtrade.model_file import read_model
from fedtrade.models import Linear
from fedtrade.report import read_results
from fedtrade.report.privacy import Privacy
from fedtrade.settings import Settings
from fedtrade.tasks.risk import Risk
from fedtrade.wire import EpisodeRecord
from simulations.grid import simulate
from strategies.robust import RobustAggregation

Make = Callable[..., Settings]
Results = dict[str, Any]
Tamper = Callable[[Message], Message]

ROOT = Path(__file__).parents[2]
NAIVE = {"ewma_t6", "har_mix_t6", "fhs", "gjr_garch_t"}
ALONE = {"local_default", "local_tuned", "local_nowcast"}
ARMS = NAIVE | ALONE | {"federated", "frozen_nowcast", "pooled"}
LIGHT_ARMS = ARMS - NAIVE | {"ewma_t6"}


def _run(settings: Settings, client_app: ClientApp | None = None) -> Results:
    """Run in process and read the results, without what differs from one run to the next."""
    if client_app is None:
        factory(settings.runtime, "runtime", settings=settings)()
    else:
        simulate(
            "strategies.server_app:app",
            client_app,
            n_participants=settings.federation.n_participants or 1,
            run_config={"settings": settings.to_json()},
            seed=settings.seed,
        )
    results: Results = json.loads((Path(settings.out) / "results.json").read_text())
    for key in ("created", "settings"):
        results.pop(key)
    for entry in results["rounds"]:
        entry.pop("seconds")
    for key in ("traffic", "traffic_is_whole"):
        results["privacy"].pop(key)
    return results


def _privacy(settings: Settings) -> Privacy:
    """What a finished run says of who learned what."""
    found = read_results(Path(settings.out) / "results.json").privacy
    assert found is not None
    return found


def _value(results: Results, arm: str, metric: str, participant: str = "all") -> float:
    """A metric at the headline's level, or at none."""
    (found,) = (
        entry["value"]
        for entry in results["metrics"]
        if (entry["arm"], entry["metric"], entry["participant"]) == (arm, metric, participant)
        and entry["level"] in (None, 0.01)
    )
    return float(found)


class _Tampered(ClientApp):
    """The honest app, but participant 2 answers some messages differently."""

    def __init__(self, message_type: str, tamper: Tamper) -> None:
        super().__init__()
        self._message_type = message_type
        self._tamper = tamper

    def __call__(self, message: Message, context: Context) -> Message:
        reply = honest(message, context)
        is_bad = context.node_config["partition-id"] == 2
        if is_bad and message.metadata.message_type == self._message_type:
            return self._tamper(reply)
        return reply


# --- a whole run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tiny: Make) -> Settings:
    return tiny()


@pytest.fixture(scope="module")
def results(settings: Settings) -> Results:
    return _run(settings)


def test_results_have_all_parts(results: Results) -> None:
    assert (results["schema_version"], results["task"]) == (1, "risk")
    assert results["verdict"]
    assert results["headline"]["level"] == 0.01
    assert results["failures"] == []
    assert [(e["episode"], e["fold"], e["n_participants"]) for e in results["episodes"]] == [
        (0, 0, 4),
        (1, 0, 4),
    ]
    assert [(e["episode"], e["round"], e["n_replies"]) for e in results["rounds"]] == [
        (episode, number, 4) for episode in (0, 1) for number in (1, 2)
    ]
    assert all(np.isfinite(entry["loss"]) for entry in results["rounds"])


def test_every_arm_has_scores_and_comparisons(results: Results) -> None:
    scores = {entry["arm"] for entry in results["metrics"] if entry["metric"] == "pinball"}
    assert scores == ARMS
    for arm in ARMS - {"federated"}:
        ours, theirs = (_value(results, name, "pinball") for name in ("federated", arm))
        assert _value(results, "federated", f"gain_vs:{arm}") == pytest.approx(1.0 - ours / theirs)
        gains = [_value(results, "federated", f"gain_vs:{arm}", str(k)) for k in range(4)]
        worst = _value(results, "federated", f"worst_gain_vs:{arm}")
        assert worst == pytest.approx(min(gains))
        share = _value(results, "federated", f"share_better_vs:{arm}")
        assert share == pytest.approx(np.mean(np.array(gains) > 0.0))
    daily = results["series"]["daily"]
    assert set(daily) == ARMS | {"bars"}
    assert {len(values) for values in daily.values()} == {50}
    assert np.mean(daily["federated"]) == pytest.approx(_value(results, "federated", "pinball"))


def test_a_run_leaves_its_files(settings: Settings, results: Results) -> None:
    out = Path(settings.out)
    names = {path.name for path in out.iterdir()}
    expected = {"results.json", "report.html", "model.safetensors", "model_card.md", "checkpoint"}
    assert names == expected
    assert results["verdict"].split(":")[0] in (out / "report.html").read_text()
    stored = read_model(out / "model.safetensors")
    assert stored.model.vector.shape == (17,)
    assert stored.trained_until == "2000-06-30"


def test_a_plain_round_is_one_exchange(settings: Settings, results: Results) -> None:
    """Two rounds and two sums in each of three episodes, of which two are scored."""
    privacy = _privacy(settings)
    assert results["privacy"]["mode"] == "plain"
    assert any("each participant's update" in each.what for each in privacy.learns)
    assert any("scores of each model" in each.what for each in privacy.learns)
    counts = {found.kind: (found.n_times, found.n_exchanges) for found in privacy.traffic}
    assert counts == {
        "joining": (1, 1),
        "sum": (6, 6),
        "training": (6, 6),
        "evaluation": (2, 2),
        "run": (1, 15),
    }
    by_kind = {found.kind: found for found in privacy.traffic}
    assert by_kind["training"].mean_bytes_up > 6 * 17 * 4, "six updates of 17 parameters"
    assert privacy.traffic_is_whole


# --- what a run computes, without the slow parts ------------------------------------------------


def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures and the forecasts that are slow to fit."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    _light(monkeypatch)


@pytest.fixture(scope="module")
def reference(tiny: Make) -> tuple[Settings, Results]:
    """A light run that nothing disturbed."""
    settings = tiny()
    with pytest.MonkeyPatch.context() as monkeypatch:
        _light(monkeypatch)
        return settings, _run(settings)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("overrides", [[], ["runtime.n_workers=2", "runtime.workers=threads"]])
def test_the_same_seed_gives_the_same_numbers(
    tiny: Make, reference: tuple[Settings, Results], overrides: list[str]
) -> None:
    """With worker threads too, which finish in any order."""
    assert _run(tiny(*overrides)) == reference[1]


@pytest.mark.usefixtures("light")
def test_zero_rounds_leave_the_prior(tiny: Make) -> None:
    """The federated model is then the EWMA with a Student-t tail."""
    settings = tiny("federation.rounds=0", "evaluation.n_origins=1")
    results = _run(settings)
    assert results["rounds"] == []
    for metric in ("pinball", "fz0", "hit_rate"):
        expected = pytest.approx(_value(results, "ewma_t6", metric), rel=1e-5)
        for arm in ("federated", "pooled", "frozen_nowcast"):
            assert _value(results, arm, metric) == expected
    model = read_model(Path(settings.out) / "model.safetensors").model
    np.testing.assert_array_equal(model.vector, Risk(Linear).initial(0))


@pytest.mark.usefixtures("light")
def test_one_participant_alone(tiny: Make) -> None:
    """It averages nobody: federated training is then its own with its own market."""
    settings = tiny("federation.n_participants=1", "evaluation.n_origins=1", "federation.rounds=1")
    results = _run(settings)
    pooled, federated = (_value(results, arm, "pinball") for arm in ("pooled", "federated"))
    assert federated == pytest.approx(pooled, rel=1e-5)
    assert {entry["n_replies"] for entry in results["rounds"]} == {1}


@pytest.mark.usefixtures("light")
def test_newcomers_alone_are_scored_in_a_cold_start(tiny: Make) -> None:
    results = _run(
        tiny(
            "federation=cold_start",
            "federation.history_bars=45",
            "federation.incumbent_bars=90",
            "federation.n_participants=4",
            "federation.rounds=1",
            "evaluation.n_origins=1",
        )
    )
    assert [(e["episode"], e["fold"]) for e in results["episodes"]] == [(0, 0), (1, 1)]
    per_participant = {e["participant"] for e in results["metrics"] if e["arm"] == "ewma_t6"}
    assert per_participant == {"all", "0", "1", "2", "3"}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("aggregation", "joining", "each"),
    [
        (["aggregation=masked"], 3, 3),
        (["aggregation=masked", "aggregation.adversary=semi_honest"], 3, 2),
        pytest.param(["aggregation=encrypted"], 3, 2, marks=pytest.mark.slow),
    ],
)
def test_private_modes_take_the_exchanges_that_they_promise(
    tiny: Make, aggregation: list[str], joining: int, each: int
) -> None:
    settings = tiny(*aggregation, "evaluation.n_origins=1", "federation.rounds=2")
    _run(settings)
    privacy = _privacy(settings)
    counts = {
        found.kind: (found.n_times, found.n_exchanges)
        for found in privacy.traffic
        if found.party == "participants"
    }
    assert counts == {
        "joining": (1, joining),
        "sum": (4, 4 * each),
        "training": (4, 4 * each),
        "evaluation": (1, each),
        "run": (1, joining + 9 * each),
    }
    learned = " ".join(found.what for found in privacy.learns if found.party == "server")
    assert "each participant's update" not in learned
    assert "sums of all participants' scores" in learned
    holders = [found for found in privacy.traffic if found.party == "key holder"]
    assert bool(holders) == (privacy.mode == "encrypted")
    assert all(found.mean_bytes_up > 0 for found in holders)


# --- interruption and resumption ----------------------------------------------------------------


def _cut_off(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, n_calls: int) -> None:
    """Ctrl-C in the call after `n_calls` of a method."""
    original, calls = getattr(owner, name), [0]

    def method(*args: Any) -> Any:
        if calls[0] == n_calls:
            raise KeyboardInterrupt
        calls[0] += 1
        return original(*args)

    monkeypatch.setattr(owner, name, method)


CUTS = [
    (RobustAggregation, "aggregate_train", 1),
    (RobustAggregation, "aggregate_train", 3),
    (Risk, "evaluate", 6),
    *(
        pytest.param(RobustAggregation, "aggregate_train", n_calls, marks=pytest.mark.slow)
        for n_calls in (0, 2, 4, 5)
    ),
    pytest.param(Risk, "evaluate", 2, marks=pytest.mark.slow),
    pytest.param(Risk, "local_sum", 9, marks=pytest.mark.slow),
]


@pytest.mark.usefixtures("light")
def test_two_runs_do_not_write_to_one_folder(
    tiny: Make, reference: tuple[Settings, Results]
) -> None:
    settings = tiny()
    out = Path(settings.out)
    shutil.copytree(reference[0].out, out)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for resume in (False, True):
        with (
            held(out, "out"),
            pytest.raises(OutputError, match=f"out={out} is used by another process of fedtrade"),
        ):
            _run(settings.model_copy(update={"resume": resume}))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
    assert _run(settings.model_copy(update={"resume": True})) == reference[1]


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(("owner", "name", "n_calls"), CUTS)
def test_a_resumed_run_gives_the_numbers_of_an_unbroken_one(
    tiny: Make, reference: tuple[Settings, Results], owner: type, name: str, n_calls: int
) -> None:
    """Cut off in any round, sum or evaluation of any episode; bit for bit."""
    settings = tiny()
    with pytest.MonkeyPatch.context() as monkeypatch:
        _cut_off(monkeypatch, owner, name, n_calls)
        with pytest.raises(KeyboardInterrupt):
            _run(settings)
    assert not (Path(settings.out) / "results.json").exists()
    assert _run(settings.model_copy(update={"resume": True})) == reference[1]
    resumed, whole = (_privacy(each) for each in (settings, reference[0]))
    assert not resumed.traffic_is_whole
    assert resumed.traffic[-1].n_exchanges <= whole.traffic[-1].n_exchanges


# Whatever remembers something, each with what it remembers.
MEMORIES = {
    "clipping": ["strategy=robust", "strategy.rule=centered_clipping"],
    "history": ["strategy=robust", "strategy.rule=foolsgold", "strategy.byzantine_share=0"],
    "FedAdam": ["strategy=fedadam"],
    "FedYogi": ["strategy=fedyogi", "strategy.fraction_train=0.5"],
    "FedAvgM and bucketing": [
        "strategy=fedavgm",
        "strategy.weights=equal",
        'strategy.rule="bucketing(2)+median"',
    ],
    "SCAFFOLD": ["strategy=scaffold"],
    "SCAFFOLD and clipping": ["strategy=scaffold", "strategy.rule=nnm+centered_clipping"],
}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", MEMORIES)
def test_what_a_strategy_remembers_is_resumed_bit_for_bit(tiny: Make, name: str) -> None:
    """Cut off between two rounds and between two episodes."""
    overrides = [*MEMORIES[name], "evaluation.n_origins=1", "federation.rounds=3"]
    whole = _run(tiny(*overrides))
    assert {entry["n_replies"] for entry in whole["rounds"]} <= {2, 4}
    for n_calls in (2, 4):
        settings = tiny(*overrides)
        with pytest.MonkeyPatch.context() as monkeypatch:
            _cut_off(monkeypatch, RobustAggregation, "aggregate_train", n_calls)
            with pytest.raises(KeyboardInterrupt):
                _run(settings)
        assert _run(settings.model_copy(update={"resume": True})) == whole


@pytest.mark.usefixtures("light")
def test_finished_episodes_are_not_run_again(
    reference: tuple[Settings, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((RobustAggregation, "aggregate_train"), (Risk, "evaluate")):
        _cut_off(monkeypatch, owner, name, 0)
    settings, results = reference
    assert _run(settings.model_copy(update={"resume": True})) == results


@pytest.mark.usefixtures("light")
def test_an_interrupted_round_keeps_the_one_before(tiny: Make) -> None:
    """What is resumed has the first round already, and only trains the second."""
    settings = tiny("evaluation.n_origins=1")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _cut_off(monkeypatch, RobustAggregation, "aggregate_train", 1)
        with pytest.raises(KeyboardInterrupt):
            _run(settings)
    with pytest.MonkeyPatch.context() as monkeypatch:
        _cut_off(monkeypatch, RobustAggregation, "aggregate_train", 3)
        _run(settings.model_copy(update={"resume": True}))  # one here, two for the final model


OUTPUTS = ("results.json", "report.html", "model.safetensors", "model_card.md")


@pytest.mark.usefixtures("light")
def test_an_interrupted_run_never_stands_beside_old_results(tiny: Make) -> None:
    settings = tiny("evaluation.n_origins=1")
    out = Path(settings.out)
    out.mkdir()
    for name in (*OUTPUTS, "mine.txt"):
        (out / name).write_text("old", encoding="utf-8")
    refused = tiny("evaluation.n_origins=50").model_copy(update={"out": settings.out})
    with pytest.raises(DataError):
        _run(refused)
    assert {path.name for path in out.iterdir()} == {*OUTPUTS, "mine.txt"}
    with pytest.MonkeyPatch.context() as monkeypatch:
        _cut_off(monkeypatch, RobustAggregation, "aggregate_train", 0)
        with pytest.raises(KeyboardInterrupt):
            _run(settings)
    assert {path.name for path in out.iterdir()} == {"checkpoint", "mine.txt"}


@pytest.mark.usefixtures("light")
def test_a_run_is_not_resumed_on_changed_data(tiny: Make, tmp_path: Path) -> None:
    settings = tiny("evaluation.n_origins=1", "federation.rounds=1")
    prices = pd.read_csv(settings.data.options["path"])
    prices.to_csv(tmp_path / "prices.csv", index=False)
    data = settings.data.model_copy(update={"path": str(tmp_path / "prices.csv")})
    settings = settings.model_copy(update={"data": data})
    _run(settings)
    prices.iloc[-1, 1] *= 1.01
    prices.to_csv(tmp_path / "prices.csv", index=False)
    holdings._loaded.cache_clear()  # as a new process
    with pytest.raises(CheckpointError, match="`data` names has changed"):
        _run(settings.model_copy(update={"resume": True}))


# --- strategies ---------------------------------------------------------------------------------

PRESETS = sorted(path.stem for path in (ROOT / "conf" / "strategy").glob("*.yaml"))


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("preset", "task"),
    [*((preset, "risk") for preset in PRESETS), ("fedprox", "signal"), ("scaffold", "signal")],
)
def test_every_preset_trains(tiny: Make, preset: str, task: str) -> None:
    """And to a model of its own: no option is without effect."""
    vectors = []
    for strategy in (preset, "federated_averaging"):
        settings = tiny(f"strategy={strategy}", f"task={task}", "evaluation.n_origins=1")
        results = _run(settings)
        assert results["failures"] == []
        assert {entry["n_replies"] for entry in results["rounds"]} == {4}
        assert all(entry["update_norm"] > 0.0 for entry in results["rounds"])
        vectors.append(read_model(Path(settings.out) / "model.safetensors").model.vector)
    assert np.isfinite(vectors[0]).all()
    is_same = vectors[0].tobytes() == vectors[1].tobytes()
    assert is_same == (preset == "federated_averaging")


@pytest.mark.usefixtures("light")
def test_a_public_sample_is_the_root_of_trust(tiny: Make) -> None:
    overrides = ["strategy=robust", "evaluation.n_origins=1", "strategy.byzantine_share=0.25"]
    results = _run(tiny(*overrides, "strategy.rule=fltrust"))
    assert results["failures"] == []
    assert all(entry["update_norm"] > 0.0 for entry in results["rounds"])


@pytest.mark.usefixtures("light")
def test_a_skipped_round_is_in_the_results(tiny: Make) -> None:
    """Two of four cannot train: trimming one needs three."""
    settings = tiny(
        "strategy=robust",
        "strategy.rule=trimmed_mean",
        "strategy.byzantine_share=0.25",
        "evaluation.n_origins=1",
        "federation.rounds=1",
    )

    class _Two(ClientApp):
        def __call__(self, message: Message, context: Context) -> Message:
            is_down = context.node_config["partition-id"] in (1, 2)
            if is_down and message.metadata.message_type == "train":
                raise RuntimeError("out of power")
            return honest(message, context)

    results = _run(settings, _Two())
    skipped = [e["reason"] for e in results["failures"] if e["participant"] == "-1"]
    expected = (
        "the round is skipped: 2 usable replies of 4 nodes asked, and trimmed_mean needs 3 to "
        "withstand 1 liars"
    )
    assert skipped == [expected] * 2
    assert {e["participant"] for e in results["failures"]} == {"-1", "1", "2"}
    assert [entry["update_norm"] for entry in results["rounds"]] == [0.0]
    model = read_model(Path(settings.out) / "model.safetensors").model
    np.testing.assert_array_equal(model.vector, Risk(Linear).initial(0))


# --- bad participants ---------------------------------------------------------------------------


def _replaced(name: str, values: np.ndarray | None) -> Tamper:
    """Put other values in place of one of the reply's arrays, or leave it out."""

    def tamper(reply: Message) -> Message:
        arrays = {k: v for k, v in reply.content["arrays"].items() if k != name}
        if values is not None:
            arrays[name] = Array(values)
        reply.content["arrays"] = ArrayRecord(arrays)
        return reply

    return tamper


def _without(record: str) -> Tamper:
    def tamper(reply: Message) -> Message:
        del reply.content[record]
        return reply

    return tamper


def _config(**entries: Any) -> Tamper:
    def tamper(reply: Message) -> Message:
        reply.content["config"].update({k.replace("_", "-"): v for k, v in entries.items()})
        return reply

    return tamper


def _error(reply: Message) -> Message:
    raise OSError("out of memory")


NAN = np.full((1, 1), np.nan)
ODD = np.zeros((2, 2))
BAD: dict[str, tuple[str, Tamper, int]] = {
    # name: (message, what is done to the reply, in how many episodes it is noticed)
    "describes nothing": ("query.describe", _without("metrics"), 0),
    "has no bars": ("query.describe", _replaced("bars", None), 0),
    "has bars that are no times": ("query.describe", _replaced("bars", NAN[0]), 0),
    "sums to NaN": ("query.sum", _replaced("sum", NAN), 2),
    "sums to another shape": ("query.sum", _replaced("sum", ODD), 2),
    "sums nothing": ("query.sum", _replaced("sum", None), 2),
    "sends text for a sum": ("query.sum", _replaced("sum", np.array(["a"])), 2),
    "fails in a sum": ("query.sum", _error, 2),
    "trains to NaN": ("train", _replaced("update", np.full(17, np.nan, np.float32)), 2),
    "fails in training": ("train", _error, 2),
    "scores nothing": ("evaluate", _replaced("totals", None), 1),
    "scores NaN": ("evaluate", _replaced("totals", np.full((7, 33), np.nan)), 1),
    "scores other bars": ("evaluate", _replaced("bars", np.arange(50.0)), 1),
    "scores another shape": ("evaluate", _replaced("daily", ODD), 1),
    "has no config": ("evaluate", _without("config"), 1),
    "hides arms": ("evaluate", _config(arms=["ewma_t6"] * 7), 1),
    "names arms by a number": ("evaluate", _config(arms=3), 1),
    "shows an odd path": ("evaluate", _replaced("path", ODD), 1),
    "fails in the evaluation": ("evaluate", _error, 1),
}

QUICK = {
    "describes nothing",
    "sums to NaN",
    "sums to another shape",
    "trains to NaN",
    "scores NaN",
    "hides arms",
    "fails in the evaluation",
}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in BAD],
)
def test_a_bad_participant_costs_nobody_else(tiny: Make, name: str) -> None:
    """The run goes on, the failure is in the results, and others are scored."""
    message_type, tamper, n_episodes = BAD[name]
    settings = tiny("federation.rounds=1", "evaluation.n_origins=1")
    results = _run(settings, _Tampered(message_type, tamper))
    scored = {entry["participant"] for entry in results["metrics"] if entry["arm"] == "federated"}
    assert {"all", "0", "1", "3"} <= scored
    assert ("2" in scored) == (message_type in ("query.sum", "train"))
    failures = [entry for entry in results["failures"] if entry["participant"] == "2"]
    assert len({entry["episode"] for entry in failures}) == n_episodes
    assert all(entry["reason"] for entry in failures)
    assert {entry["arm"] for entry in results["metrics"]} == LIGHT_ARMS
    n_replies = {entry["n_replies"] for entry in results["rounds"]}
    assert n_replies == ({3} if message_type in ("query.describe", "train") else {4})
    left_out = [(e["episode"], e["round"]) for e in results["failures"] if e["participant"] == "-1"]
    assert left_out == ([(0, 0)] if message_type == "query.describe" else [])


@pytest.mark.usefixtures("light")
def test_a_reply_that_is_an_error_names_its_reason(tiny: Make) -> None:
    def refuse(reply: Message) -> Message:
        made = Message(Error(0, "no power"), reply_to=reply)
        made.metadata.__dict__.update(reply.metadata.__dict__)
        return made

    settings = tiny("federation.rounds=1", "evaluation.n_origins=1")
    results = _run(settings, _Tampered("train", refuse))
    assert {entry["reason"] for entry in results["failures"]} == {"no power"}


@pytest.mark.usefixtures("light")
def test_a_participant_whose_data_do_not_suffice_costs_nobody_else(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sentence is in the results, at every step that it could not take."""
    original = Participant.sample

    def sample(self: Participant, *args: Any) -> Any:
        if self.number == 1:
            raise DataError("no price of mine; bring one")
        return original(self, *args)

    monkeypatch.setattr(Participant, "sample", sample)
    results = _run(tiny("federation.rounds=1", "evaluation.n_origins=1"))
    reasons = {(e["participant"], e["reason"]) for e in results["failures"]}
    assert reasons == {("1", "no price of mine; bring one")}
    assert [(e["round"]) for e in results["failures"] if e["episode"] == 0] == [0, 0, 1, 2]
    assert results["rounds"][0]["n_failures"] == 1
    assert results["rounds"][0]["n_replies"] == 3


def test_without_anybody_the_first_reason_is_told(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sample(self: Participant, *args: Any) -> Any:
        raise DataError("no price of mine; bring one")

    monkeypatch.setattr(Participant, "sample", sample)
    settings = tiny()
    with pytest.raises(FedtradeError, match=r"no participant can take part: no price of mine"):
        _run(settings)
    assert not (Path(settings.out) / "results.json").exists()


def test_without_anybody_left_it_is_said_that_nothing_is_lost(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Participant.sample

    def sample(self: Participant, episode: EpisodeRecord, *args: Any) -> Any:
        if episode.number > 0:
            raise DataError("no price of mine; bring one")
        return real(self, episode, *args)

    settings = tiny("federation.rounds=1", "evaluation.n_origins=1")
    with monkeypatch.context() as patched:
        patched.setattr(Participant, "sample", sample)
        with pytest.raises(FedtradeError, match=r"of mine.* with resume=true the run goes"):
            _run(settings)
    assert len(_run(settings.model_copy(update={"resume": True}))["rounds"]) == 1
