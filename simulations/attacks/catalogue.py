"""The attacks of the configuration by name, with its options as defaults."""

from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any, Protocol

import yaml

from fedtrade.components import build
from fedtrade.settings import Component
from simulations.attacks.attack import Attack

__all__ = ["ATTACKS", "build_attack"]


class AttackFactory(Protocol):
    """Makes an attack; options replace those of the configuration."""

    def __call__(self, **options: Any) -> Attack:
        """See the class."""
        ...


def build_attack(name: str, **options: Any) -> Attack:
    """The attack `conf/attack/NAME.yaml`, with some options changed.

    Raises
    ------
    KeyError
        If there is none of that name.
    ConfigurationError
        If it does not take an option, or refuses its value.
    """
    if name not in ATTACKS:
        raise KeyError(f"there is no attack {name!r}; choose from {', '.join(ATTACKS)}.")
    component = Component.model_validate({**_options(name), **options})
    attack: Attack = build(component, "attack")
    return attack


@lru_cache(maxsize=64)
def _options(name: str) -> Mapping[str, Any]:
    text = (files("conf") / "attack" / f"{name}.yaml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text)
    return options


def _names() -> list[str]:
    names = (entry.name for entry in (files("conf") / "attack").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


ATTACKS: Mapping[str, AttackFactory] = {
    name: partial(build_attack, name) for name in _names() if name != "none"
}
"""Factories by the names of `conf/attack/`, of which "none" (everybody is honest) is left out."""
