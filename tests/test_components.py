from typing import Any

import pytest

from fedtrade.components import as_component, build, factory
from fedtrade.errors import ConfigurationError, DataError
from fedtrade.models import Linear
from fedtrade.settings import Component

RISK = "fedtrade.tasks.risk.Risk"


def _component(target: str, **options: Any) -> Component:
    return Component.model_validate({"_target_": target, **options})


def _complain(kind: str, **_: Any) -> None:
    raise {"data": DataError, "value": ValueError, "type": TypeError}[kind]("it is wrong")


def test_a_component_is_built_from_its_options() -> None:
    assert build(_component("fractions.Fraction", numerator=3), "x", denominator=4) == 0.75


def test_a_target_may_change_what_it_is_given_and_nobody_elses_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take(window: dict[str, Any]) -> Any:
        return window.pop("bars"), window["days"].pop()

    monkeypatch.setattr("fedtrade.components.take", take, raising=False)
    component = _component("fedtrade.components.take", window={"bars": 5, "days": [1, 2]})
    before = component.model_dump_json()
    assert [build(component, "data") for _ in range(2)] == [(5, 2)] * 2
    assert component.model_dump_json() == before


def test_a_factory_waits_for_the_rest() -> None:
    make = factory(_component("fedtrade.models.MLP", hidden=[2]), "model")
    assert make(3, 1).n_params == 2 * 4 + 3


def test_an_unknown_option_is_named_with_those_that_are_known() -> None:
    with pytest.raises(
        ConfigurationError,
        match=rf"task.sped is not an option of {RISK}; it takes alone_steps, .*shrinkage\.",
    ):
        factory(_component(RISK, sped=3), "task", network=None)


def test_what_the_program_gives_is_no_option() -> None:
    with pytest.raises(ConfigurationError, match=r"task.network is not an option"):
        build(_component(RISK, network="mine"), "task", network=None)


@pytest.mark.parametrize(
    "target", ["fedtrade.nothing.Here", "fedtrade.tasks.risk.Nothing", "no_such_package.Thing"]
)
def test_a_target_that_cannot_be_imported_is_named(target: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"data\._target_={target} cannot be imported"):
        build(_component(target), "data")


def test_a_target_must_be_callable() -> None:
    with pytest.raises(ConfigurationError, match="not something that can be called"):
        build(_component("fedtrade.tasks.risk.N_OWN"), "task")


@pytest.mark.parametrize("kind", ["value", "type"])
def test_a_refused_argument_names_the_key(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrade.components.complain", _complain, raising=False)
    with pytest.raises(ConfigurationError, match=r"data \(fedtrade.components.complain\): it is"):
        build(_component("fedtrade.components.complain", kind=kind), "data")


def test_an_error_of_ours_passes_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrade.components.complain", _complain, raising=False)
    with pytest.raises(DataError, match=r"^it is wrong$"):
        build(_component("fedtrade.components.complain", kind="data"), "data")


def test_a_value_out_of_range_names_the_key() -> None:
    with pytest.raises(ConfigurationError, match=rf"task \({RISK}\): .*shrinkage not negative"):
        build(_component(RISK, shrinkage=-1), "task", network=Linear)


def test_settings_without_an_import_path_are_named_with_their_place() -> None:
    assert as_component({"_target_": "fractions.Fraction"}, "x").target == "fractions.Fraction"
    with pytest.raises(ConfigurationError, match=r"^strategy\.rule\._target_=3 is no import path"):
        as_component({"_target_": 3}, "strategy.rule")
