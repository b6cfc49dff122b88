"""The settings that a run brought to a party, before the party's own beat them."""

from typing import Final

from flwr.app import ConfigRecord, Context

from conf import resolve

__all__ = ["BROUGHT", "RECORD", "SETTINGS", "brought_digest"]

SETTINGS: Final = "settings"
RECORD: Final = "local-rules"
BROUGHT: Final = "settings-sha256"


def brought_digest(context: Context) -> str:
    """Their digest; where a node has settings of its own, that of the run's first message.

    Raises
    ------
    ConfigurationError
        If they are none.
    """
    kept = context.state.get(RECORD)
    pinned = kept.get(BROUGHT) if isinstance(kept, ConfigRecord) else None
    if isinstance(pinned, str):
        return pinned
    return resolve(str(context.run_config.get(SETTINGS, ""))).digest()
