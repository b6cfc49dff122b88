"""One process at a time in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedtrade.errors import NodeError, OutputError

__all__ = ["held"]

LOCK: Final = "lock"


@contextmanager
def held(folder: Path, key: str) -> Iterator[None]:
    """Keep others out of a folder; the system lets go of it when the process dies.

    Parameters
    ----------
    key : str
        The setting that named the folder.

    Raises
    ------
    NodeError
        If another process holds it.
    OutputError
        If nothing can be written there.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(
            f"{key}={folder} cannot be written to ({error.strerror}); choose another folder, or "
            "mend it."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NodeError(
                f"{key}={folder} is used by another process of fedtrade; stop that one first."
            ) from None
        yield
    finally:
        os.close(descriptor)
