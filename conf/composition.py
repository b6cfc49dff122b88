"""Compose settings with Hydra, with its errors turned into sentences that name the key."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from conf import CONFIG_NAME
from fedtrade.errors import ConfigurationError
from fedtrade.settings import Settings

__all__ = ["composed", "composed_values", "hydra_sentence", "to_settings"]

_ALL_KEYS = "`fedtrade config` lists every setting and its value."


def composed(overrides: Sequence[str]) -> Settings:
    """See `conf.compose`."""
    try:
        return to_settings(_compose(overrides))
    except HydraException as error:
        raise ConfigurationError(hydra_sentence(error)) from None


def composed_values(config_name: str, overrides: Sequence[str], *, all_keys: str) -> dict[str, Any]:
    """Compose another configuration than that of `fedtrade simulate`, as plain nested values.

    Parameters
    ----------
    all_keys : str
        A sentence that says where to find every setting of it.

    Raises
    ------
    ConfigurationError
        If an override names an unknown key or group, or a value is missing.
    """
    try:
        return _to_values(_compose(overrides, config_name))
    except HydraException as error:
        raise ConfigurationError(hydra_sentence(error, config_name, all_keys)) from None


def to_settings(config: DictConfig) -> Settings:
    """Resolve interpolations and validate.

    Raises
    ------
    ConfigurationError
        If a value is missing (`???`) or wrong; the message names its key.
    """
    return Settings.from_mapping(_to_values(config))


def _to_values(config: DictConfig) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigurationError(
            f"{error.full_key} has no value; add {error.full_key}=VALUE to the command."
        ) from None
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{str(error).splitlines()[0].rstrip('.')}.") from None
    assert isinstance(values, dict)
    return {str(k): v for k, v in values.items() if k != "hydra"}


def hydra_sentence(
    error: HydraException, config_name: str = CONFIG_NAME, all_keys: str = _ALL_KEYS
) -> str:
    """What Hydra complains about in one sentence, with the remedy in our words."""
    match error:
        case OverrideParseException() if error.override.startswith("-"):
            return f"there is no option {error.override}; `--help` lists those of each command."
        case OverrideParseException():
            reason = error.message.splitlines()[0].rstrip(".")
            return (
                f"the override {error.override!r} cannot be read ({reason}): overrides look like "
                "key=value, and a value with special characters is quoted twice: "
                "\"out='a (1)'\"."
            )
        case MissingConfigException(options=[*options]) if error.missing_cfg_file:
            group, _, option = error.missing_cfg_file.rpartition("/")
            return f"there is no {group}={option}; choose from {', '.join(options)}."
        case ConfigCompositionException(
            __cause__=ConfigAttributeError() | ConfigKeyError() as cause
        ):
            return _unknown_key(str(cause.full_key or cause.key), config_name, all_keys)
        case ConfigCompositionException() if "Ambiguous value" in str(error):
            return (
                f"{_first_line(error)}: add -m to sweep over the values, or write [a,b] for a list."
            )
        case _:
            detail = f" ({_first_line(error.__cause__)})" if error.__cause__ else ""
            return f"{_first_line(error)}{detail}. {all_keys}"


def _compose(overrides: Sequence[str], config_name: str = CONFIG_NAME) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        return hydra_compose(config_name, overrides=list(overrides))


def _unknown_key(key: str, config_name: str, all_keys: str) -> str:
    """Name the key, and one that exists and is spelt nearly so."""
    known = _keys(OmegaConf.to_container(_compose((), config_name), resolve=False))
    near = get_close_matches(key, list(known), n=1)
    suggestion = f"did you mean {near[0]}? " if near else ""
    if near == [key]:  # with other options of a group
        suggestion = f"the chosen {key.partition('.')[0]} has none. "
    return f"there is no setting {key}; {suggestion}{all_keys}"


def _keys(values: Any, head: str = "") -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield f"{head}{key}"
            yield from _keys(value, f"{head}{key}.")


def _first_line(error: BaseException) -> str:
    lines = (line.strip().rstrip(".") for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
