"""Build what the configuration names by import path."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.settings import Component

__all__ = ["as_component", "build", "factory"]


def as_component(values: Mapping[str, Any], key: str) -> Component:
    """Settings inside of other settings, which nobody has validated yet.

    Raises
    ------
    ConfigurationError
        If there is no import path under `_target_`.
    """
    try:
        return Component.model_validate(dict(values))
    except ValidationError:
        raise ConfigurationError(
            f"{key}._target_={values.get('_target_')!r} is no import path, such as package.name."
        ) from None


def factory(component: Component, key: str, **given: Any) -> Callable[..., Any]:
    """The target with its options bound, to be called with what is not known yet.

    Parameters
    ----------
    key : str
        Where the component stands in the settings, for messages.
    **given
        Keyword arguments that do not come from the settings.

    Raises
    ------
    ConfigurationError
        If the target cannot be imported or does not take an option.
    """
    target = _locate(component.target, key)
    accepted = inspect.signature(target).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    unknown = [
        name for name in component.options if name in given or not (takes_any or name in accepted)
    ]
    if unknown:
        known = ", ".join(sorted(set(accepted) - set(given))) or "nothing"
        raise ConfigurationError(
            f"{key}.{unknown[0]} is not an option of {component.target}; it takes {known}."
        )
    return partial(target, **component.options, **given)


def build(component: Component, key: str, **given: Any) -> Any:
    """Call the target with its options.

    Raises
    ------
    ConfigurationError
        As `factory`; and if the target refuses its arguments.
    """
    call = factory(component, key, **given)
    try:
        return call()
    except FedtradeError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{key} ({component.target}): {error}") from error


def _locate(path: str, key: str) -> Callable[..., Any]:
    module_name, _, attribute = path.rpartition(".")
    try:
        target = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{key}._target_={path} cannot be imported: {error}.") from error
    if not callable(target):
        raise ConfigurationError(f"{key}._target_={path} is not something that can be called.")
    return target  # type: ignore[no-any-return]
