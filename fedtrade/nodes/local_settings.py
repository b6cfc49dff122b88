"""A party's own settings on its machine: where the launcher puts them and an app finds them."""

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Final

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.settings import ClientSettings
from fedtrade.private_files import make_private_folder, write_private

__all__ = ["LOCAL_SETTINGS", "PRICES", "local_settings", "write_local_settings"]

PRICES: Final = "prices"
"""In the party's own folder: its prices as they were read, with `keep_prices`."""

LOCAL_SETTINGS: Final = "local-settings"
"""The entry of a node's configuration with the path of the party's settings."""

FILE: Final = "local.json"


def write_local_settings(settings: ClientSettings) -> Path:
    """Put a party's settings into its own folder, for its app to read; the path.

    Prices that were kept there are removed if the settings want none to be.
    """
    folder = Path(settings.state).absolute()
    make_private_folder(folder)
    if not settings.keep_prices:
        shutil.rmtree(folder / PRICES, ignore_errors=True)
    path = folder / FILE
    write_private(path, json.dumps(settings.to_mapping(), indent=2).encode())
    return path


def local_settings(path: str) -> ClientSettings:
    """The settings in a file.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the node's config has {LOCAL_SETTINGS}={path!r}, which cannot be read: {error}."
        ) from None


@lru_cache(maxsize=64)
def _parsed(text: str) -> ClientSettings:
    return ClientSettings.from_mapping(json.loads(text))
