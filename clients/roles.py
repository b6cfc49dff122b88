"""What a node is in a run: a participant, or a key holder who has no data."""

from flwr.app import Context

from conf import resolve
from fedtrade.errors import ConfigurationError
from fedtrade.wire import KEY_HOLDER, ROLE

__all__ = ["is_key_holder"]

PARTICIPANT = "participant"


def is_key_holder(context: Context) -> bool:
    """Whether the node's own configuration makes it one.

    In a simulation, whose nodes are numbered, it is the one behind the participants.

    Raises
    ------
    ConfigurationError
        If the node's configuration names a role that there is not.
    """
    role = context.node_config.get(ROLE)
    if role not in (None, PARTICIPANT, KEY_HOLDER):
        raise ConfigurationError(
            f"the node's config has {ROLE}={role!r}; it must be {PARTICIPANT!r}, {KEY_HOLDER!r} or "
            "left out."
        )
    if role is not None:
        return role == KEY_HOLDER
    settings = resolve(str(context.run_config.get("settings", "")))
    n, number = settings.federation.n_participants, context.node_config.get("partition-id")
    has_holder = settings.aggregation.n_key_holders > 0
    return has_holder and n is not None and isinstance(number, int) and number >= n
