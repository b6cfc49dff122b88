"""Compose settings with Hydra, with its errors turned into sentences that name the key."""

from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from fedtrade.errors import ConfigurationError
from fedtrade.settings import Settings

__all__ = ["composed", "hydra_sentence", "to_settings"]

_HINTS = ("provider=", "Config search path", "Set the environment variable", "To append to your")


def composed(overrides: Sequence[str]) -> Settings:
    """See `conf.compose`."""
    from conf import CONFIG_NAME

    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            return to_settings(hydra_compose(CONFIG_NAME, overrides=list(overrides)))
    except HydraException as error:
        raise ConfigurationError(hydra_sentence(error)) from None


def to_settings(config: DictConfig) -> Settings:
    """Resolve interpolations and validate.

    Raises
    ------
    ConfigurationError
        If a value is missing (`???`) or wrong; the message names its key.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigurationError(
            f"{error.full_key} has no value; add {error.full_key}=VALUE to the command."
        ) from None
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error).splitlines()[0]) from None
    assert isinstance(values, dict)
    return Settings.from_mapping({str(k): v for k, v in values.items() if k != "hydra"})


def hydra_sentence(error: HydraException) -> str:
    """What Hydra says in one sentence, without its search path and stack of hints."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(_HINTS)]
    cause = error.__cause__
    if cause is not None and str(cause) not in str(error):
        kept.append(str(cause).splitlines()[0].rstrip("."))
    return "; ".join(kept) + ". `fedtrade config` lists every key and its value."
