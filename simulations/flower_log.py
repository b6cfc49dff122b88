"""How loud Flower is while it runs inside our process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from flwr.supercore.logger import FLOWER_LOGGER

__all__ = ["flower_log_level"]


@contextmanager
def flower_log_level(level: int) -> Iterator[None]:
    """Drop Flower's log messages below `level` (as in `logging`) inside the block."""
    before = FLOWER_LOGGER.level
    FLOWER_LOGGER.setLevel(level)
    try:
        yield
    finally:
        FLOWER_LOGGER.setLevel(before)


# `logging.WARNING` keeps what a person should know; a round's own lines are INFO.
QUIET = logging.WARNING
