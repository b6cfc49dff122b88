"""The Hydra configuration: groups of YAML files, read as `pkg://conf`.

Only entry points compose it: the command line, and the apps when a run names no settings.
"""

from collections.abc import Sequence

from fedtrade.settings import Settings

__all__ = ["CONFIG_NAME", "CONFIG_PATH", "compose", "resolve"]

CONFIG_PATH = "pkg://conf"
CONFIG_NAME = "simulate"


def compose(overrides: Sequence[str] = ()) -> Settings:
    """Compose, resolve and validate the settings under the given Hydra overrides.

    Raises
    ------
    ConfigurationError
        If an override names an unknown key or group, or a value is missing or out of range.
    """
    from conf.composition import composed

    return composed(overrides)


def resolve(settings_json: str) -> Settings:
    """Read settings sent as JSON; an empty text stands for the defaults."""
    return Settings.from_json(settings_json) if settings_json else compose()
