"""Let Flower ask again soon for a part of a message that is still on its way."""

import sys
from typing import Final

__all__ = ["pull_sooner"]

MODULE: Final = "flwr.supercore.inflatable.inflatable_utils"
FUNCTIONS: Final = ("pull_objects", "pull_and_inflate_object_from_tree")
PAUSES: Final = {"initial_backoff": 0.05, "backoff_cap": 0.25, "max_tries_per_object": None}


def pull_sooner() -> None:
    """Shorten Flower's pauses in this process, if it is loaded and they are where they were.

    A message is announced before its parts are there, and Flower 1.41 waits for a second, then for
    two, before it asks for a part again: longer than most rounds take. Its limit of two hours
    stays; that of 500 tries goes, which were an hour and would be two minutes.
    """
    for name in FUNCTIONS:
        defaults = getattr(getattr(sys.modules.get(MODULE), name, None), "__kwdefaults__", None)
        if defaults and PAUSES.keys() <= defaults.keys():
            defaults |= PAUSES
