"""Being told to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "stopping"]


class Stop:
    """Whether somebody has asked this process to stop; callable, for what asks while it waits."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self) -> bool:
        """Whether it was asked."""
        return self.number is not None


@contextmanager
def stopping() -> Iterator[Stop]:
    """Note Ctrl-C and a request to end instead of breaking off, so that children are stopped."""
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        stop.number = number

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
