"""The settings that a run brought to a party, before the party's own beat them."""

from typing import Final

from flwr.app import ConfigRecord, Context

from conf import resolve
from fedtrade.errors import ProtocolError
from fedtrade.secure.wire import RUN

__all__ = ["BROUGHT", "RECORD", "SETTINGS", "brought_digest", "check_brought"]

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


def check_brought(context: Context) -> None:
    """Refuse settings other than those that a private run was agreed under, `plain` ones as well.

    Raises
    ------
    ProtocolError
    """
    run = context.state.get(RUN)
    if isinstance(run, ConfigRecord) and run.get(BROUGHT) != brought_digest(context):
        raise ProtocolError(
            "the run's settings are others than those that it was agreed upon under: start it anew."
        )
