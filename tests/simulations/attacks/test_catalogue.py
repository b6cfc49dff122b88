"""The configuration and the package name the same attacks."""

from dataclasses import fields

import pytest

from conf import compose
from fedtrade.errors import ConfigurationError
from simulations import attacks
from simulations.attacks import ATTACKS, Attack


def test_every_listed_name_exists() -> None:
    assert len(set(attacks.__all__)) == len(attacks.__all__)
    assert all(hasattr(attacks, name) for name in attacks.__all__)


def test_every_attack_class_has_a_configuration() -> None:
    exported = [getattr(attacks, name) for name in attacks.__all__]
    classes = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Attack)}
    kinds = {attacks.Attack, attacks.UpdateAttack, attacks.DataAttack, attacks.ReplyAttack}
    assert classes - kinds == {type(factory()) for factory in ATTACKS.values()}


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_configuration_shows_every_option(name: str) -> None:
    component = compose([f"attack={name}"]).attack
    assert component is not None
    built = ATTACKS[name]()
    assert component.target == f"simulations.attacks.{type(built).__name__}"
    assert set(component.options) == {field.name for field in fields(built)}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alie", {"z": "far"}, "z must be a number, got 'far'"),
        ("scaling", {"factor": None}, "factor must be a number, got None"),
        (
            "sign_flip",
            {"claimed_examples": 0.5},
            "claimed_examples must be a whole number, got 0.5",
        ),
        ("mimic", {"share": "all"}, "share must be a number, got 'all'"),
        ("on_off", {"bad_rounds": "two"}, "bad_rounds must be a whole number, got 'two'"),
    ],
)
def test_an_option_that_is_no_number_is_named(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ATTACKS[name](**options)
