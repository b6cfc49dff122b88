"""What a node is in a run: a participant, or a key holder who has no data."""

from flwr.app import Context

from conf import resolve
from fedtrade.wire import KEY_HOLDER, ROLE

__all__ = ["is_key_holder"]


def is_key_holder(context: Context) -> bool:
    """Whether the node's own configuration makes it one.

    In a simulation, whose nodes are numbered, it is the one behind the participants.
    """
    role = context.node_config.get(ROLE)
    if role is not None:
        return role == KEY_HOLDER
    settings = resolve(str(context.run_config.get("settings", "")))
    n, number = settings.federation.n_participants, context.node_config.get("partition-id")
    has_holder = settings.aggregation.n_key_holders > 0
    return has_holder and n is not None and isinstance(number, int) and number >= n
