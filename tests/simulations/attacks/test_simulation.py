"""Tiny runs from settings to results, in which one of four participants lies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.client_app import app as honest
from fedtrade.baselines.ewma import ewma_t6
from fedtrade.components import factory
from fedtrade.errors import ConfigurationError
from fedtrade.model_file import read_model
from fedtrade.settings import Component, Settings
from simulations.attacks import ATTACKS, choose_attackers
from simulations.attacks.attacked_grid import AttackedGrid
from simulations.attacks.cast import Cast
from simulations.attacks.known_rule import known_rule
from simulations.attacks.poisoned_app import app as poisoned

Make = Callable[..., Settings]
Results = dict[str, Any]

LIAR = choose_attackers(4, 0.25, 0)
QUICK = ("evaluation.n_origins=1", "evaluation.pooled=false", "evaluation.public_bars=0")


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures and the forecasts that are slow to fit."""
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
    monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})


def _run(settings: Settings) -> tuple[Results, np.ndarray]:  # type: ignore[type-arg]
    """The results without what differs between two runs, and the final vector."""
    factory(settings.runtime, "runtime", settings=settings)()
    results: Results = json.loads((Path(settings.out) / "results.json").read_text())
    for key in ("created", "settings"):
        results.pop(key)
    for entry in results["rounds"]:
        entry.pop("seconds")
    return results, read_model(Path(settings.out) / "model.safetensors").model.vector


def _settings(tiny: Make, *overrides: str) -> Settings:
    return tiny(*QUICK, *overrides)


@pytest.fixture(scope="module")
def clean(tiny: Make) -> np.ndarray:  # type: ignore[type-arg]
    """The vector of a run in which everybody is honest."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)
        monkeypatch.setattr("fedtrade.tasks.risk.NAIVE_FORECASTERS", {"ewma_t6": ewma_t6})
        return _run(_settings(tiny))[1]


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_run_with_each_attack_ends_with_a_model(
    name: str,
    tiny: Make,
    clean: np.ndarray,  # type: ignore[type-arg]
) -> None:
    """Another one than without liars, and finite."""
    more = ["attack.honest_rounds=1"] if name == "on_off" else []
    results, vector = _run(_settings(tiny, f"attack={name}", "attack.share=0.25", *more))
    assert [(entry["episode"], entry["round"]) for entry in results["rounds"]] == [(0, 1), (0, 2)]
    assert np.isfinite(vector).all()
    assert (vector != clean).any()


@pytest.mark.parametrize("name", ["gaussian", "backdoor", "malformed", "alie_optimised"])
def test_the_same_seed_gives_the_same_numbers_whoever_works(name: str, tiny: Make) -> None:
    overrides = (f"attack={name}", "attack.share=0.25", "federation.rounds=1")
    (alone, vector), (threads, same) = (
        _run(_settings(tiny, *overrides, *more))
        for more in ([], ["runtime.n_workers=2", "runtime.workers=threads"])
    )
    assert alone == threads
    np.testing.assert_array_equal(vector, same)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["label_flip", "mimic"])
def test_worker_processes_give_the_same_numbers(name: str, tiny: Make) -> None:
    overrides = (f"attack={name}", "attack.share=0.25", "federation.rounds=1")
    vectors = [
        _run(_settings(tiny, *overrides, *more))[1] for more in ([], ["runtime.n_workers=2"])
    ]
    np.testing.assert_array_equal(*vectors)


def test_without_liars_nothing_changes(
    tiny: Make,
    clean: np.ndarray,  # type: ignore[type-arg]
) -> None:
    _, vector = _run(_settings(tiny, "attack=sign_flip", "attack.share=0"))
    np.testing.assert_array_equal(vector, clean)


def test_damaged_replies_are_counted_as_the_liars(tiny: Make) -> None:
    results, _ = _run(
        _settings(tiny, "attack=malformed", "attack.share=0.25", "attack.kinds=[no record]")
    )
    blamed = {entry["participant"] for entry in results["failures"]}
    assert blamed == {str(LIAR[0])}


# --- the liars' own client ----------------------------------------------------------------------


class _Recorder(ClientApp):
    """The poisoned app beside the honest one; remembers whose answers to what differ."""

    def __init__(self) -> None:
        super().__init__()
        self.different: set[tuple[int, str, int]] = set()
        self.asked: set[str] = set()

    def __call__(self, message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        kind = message.metadata.message_type
        place = int(message.content.config_records["config"].get("server-round", 0))  # type: ignore[arg-type]
        mine, theirs = poisoned(message, context), honest(message, context)
        self.asked.add(kind)
        if _arrays(mine) != _arrays(theirs):
            self.different.add((number, kind, place))
        return mine


def _arrays(message: Message) -> dict[str, bytes]:
    return {key: array.data for key, array in message.content.array_records["arrays"].items()}


@pytest.mark.parametrize(
    ("overrides", "bad_rounds"),
    [
        (["attack=label_flip"], (1, 2)),
        (
            [
                "attack=on_off",
                "attack.honest_rounds=1",
                "attack.bad_rounds=1",
                "attack.attack._target_=simulations.attacks.LabelFlip",
            ],
            (2,),
        ),
    ],
)
def test_only_the_training_of_liars_is_poisoned(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, overrides: list[str], bad_rounds: tuple[int, ...]
) -> None:
    recorder = _Recorder()
    monkeypatch.setattr("simulations.attacks.poisoned_app.app", recorder)
    _run(_settings(tiny, *overrides, "attack.share=0.25"))
    assert recorder.asked == {"query.describe", "query.sum", "train", "evaluate"}
    assert recorder.different == {(LIAR[0], "train", number) for number in bad_rounds}


# --- settings -----------------------------------------------------------------------------------


def test_a_share_of_less_than_one_participant_is_refused(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"attack\.share=0\.2 of 4 participants is less"):
        _run(_settings(tiny, "attack=sign_flip", "attack.share=0.2"))


def test_what_is_no_attack_is_refused(tiny: Make) -> None:
    with pytest.raises(
        ConfigurationError, match=r"attack\._target_=collections\.Counter must make a"
    ):
        _run(_settings(tiny, "+attack._target_=collections.Counter"))


def test_an_option_out_of_range_is_refused(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match="factor must be positive, got -1"):
        _run(_settings(tiny, "attack=sign_flip", "attack.factor=-1"))


def test_the_attack_within_on_off_is_checked(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"attack\.attack\._target_='x' is no import path"):
        _run(_settings(tiny, "attack=on_off", "attack.attack._target_=x"))


def test_a_trigger_must_be_among_the_features(tiny: Make) -> None:
    settings = tiny("attack=backdoor", "attack.share=0.25", "attack.columns=[99,1,2]")
    with pytest.raises(ConfigurationError, match=r"Backdoor\): columns=\(99, 1, 2\) .* 9 features"):
        Cast.of(settings)


def test_data_of_other_tasks_cannot_be_poisoned(tiny: Make) -> None:
    settings = tiny("attack=label_flip", "attack.share=0.25")
    other = settings.model_copy(
        update={"task": settings.task.model_copy(update={"target": "fedtrade.tasks.signal.Signal"})}
    )
    with pytest.raises(ConfigurationError, match="poisons training examples of task=risk only"):
        Cast.of(other)


def test_ray_has_no_liars(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match="use runtime=inprocess"):
        _run(_settings(tiny, "attack=sign_flip", "runtime=ray"))


def test_everybody_is_honest_by_default(tiny: Make) -> None:
    assert Cast.of(tiny()) is None


# --- what the adversary knows of the rule -------------------------------------------------------


def _rows(n: int = 10) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)


def test_the_rule_of_the_settings_is_known(tiny: Make) -> None:
    rule = known_rule(tiny().strategy)
    assert rule is not None
    np.testing.assert_allclose(rule(_rows()), _rows().mean(axis=0), rtol=1e-5)


def test_the_rule_knows_how_many_lie(tiny: Make) -> None:
    """Of ten values, the two largest and the two smallest are left out."""
    strategy = tiny("strategy.rule=trimmed_mean", "strategy.byzantine_share=0.2").strategy
    rule = known_rule(strategy)
    assert rule is not None
    expected = np.sort(_rows(), axis=0)[2:-2].mean(axis=0)
    np.testing.assert_allclose(rule(_rows()), expected, rtol=1e-5)


def test_the_rule_that_sees_groups_is_known_as_such(tiny: Make) -> None:
    """Ten updates in five groups of two, of which one liar of ten spoils one."""
    strategy = tiny("strategy.rule=median", "strategy.byzantine_share=0.05").strategy
    rule = known_rule(strategy, group_size=2)
    assert rule is not None
    found = rule(np.repeat([[1.0], [1e6]], [9, 1], axis=0).astype(np.float32))
    np.testing.assert_allclose(found, [1.0])
    alone = known_rule(strategy)
    assert alone is not None
    assert np.abs(rule(_rows()) - alone(_rows())).max() > 0.01
    np.testing.assert_array_equal(rule(_rows()), rule(_rows()))


def test_a_rule_that_refuses_gives_no_number(tiny: Make) -> None:
    settings = tiny("strategy.rule=krum", "strategy.n_byzantine=4", "strategy.weights=equal")
    rule = known_rule(settings.strategy)
    assert rule is not None
    assert np.isnan(rule(_rows(4))).all()


def test_what_only_the_server_knows_stays_unknown(tiny: Make) -> None:
    strategy = tiny("strategy.rule=fltrust", "strategy.weights=equal").strategy
    assert known_rule(strategy) is None
    assert known_rule(Component.model_validate({"_target_": "some.Strategy"})) is None


def test_the_grid_of_a_run_knows_the_rule(tiny: Make) -> None:
    settings = tiny("attack=alie_optimised", "attack.share=0.25")
    cast = Cast.of(settings)
    assert cast is not None
    assert cast.attackers == LIAR

    class Nodes(AttackedGrid):
        def __init__(self) -> None:
            pass

        def get_node_ids(self) -> list[int]:
            return [5, 6, 7, 8]

    assert cast.on(Nodes(), settings)._aggregate is not None
