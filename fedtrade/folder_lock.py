"""One process at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedtrade.errors import NodeError, OutputError

__all__ = ["held"]

LOCK: Final = "lock"
POLL_S: Final = 0.05


@contextmanager
def held(folder: Path, key: str, file: str = LOCK, *, patience_s: float = 0.0) -> Iterator[None]:
    """Keep others out of a folder; the system lets go of it when the process dies.

    Parameters
    ----------
    key : str
        The setting that named the folder.
    file : str
        Of the lock, in the folder; it stays there.
    patience_s : float
        How long to wait for another process that may be about to end.

    Raises
    ------
    NodeError
        If another process holds it.
    OutputError
        If nothing can be written there.
    """
    try:
        descriptor = os.open(folder / file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(
            f"{key}={folder} cannot be written to ({error.strerror}); choose another folder, or "
            "mend it."
        ) from None
    try:
        if not _locked(descriptor, patience_s):
            raise NodeError(
                f"{key}={folder} is used by another process of fedtrade: stop that one first, or "
                f"choose another folder with {key}=FOLDER."
            )
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True
