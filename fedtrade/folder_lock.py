"""One process at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fedtrade.atomic import sentence_of
from fedtrade.errors import OutputError

__all__ = ["ENDING_S", "LOCK", "check_free", "held"]

LOCK: Final = "lock"
ENDING_S: Final = 10.0
"""How long processes may take to end behind the one that started them and was killed."""

POLL_S: Final = 0.1


@contextmanager
def held(folder: Path, key: str, patience_s: float = 0.0) -> Iterator[None]:
    """Keep others out of a folder, which is made if need be.

    The system lets go of it when the process dies, however that comes about. Nothing is left of it
    at the end, nor an empty folder that was not there before.

    Parameters
    ----------
    key : str
        The setting that named the folder.
    patience_s : float
        How long to wait for one who holds it, who may be about to end.

    Raises
    ------
    OutputError
        If another one holds it, or nothing can be written there.
    """
    path = folder / LOCK
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(path, time.monotonic() + patience_s)
    except OSError as error:
        raise OutputError(sentence_of(path, error, key)) from error
    if lock is None:
        raise OutputError(
            f"{key}={folder} is used by another process of fedtrade{_who(path)}; stop that one "
            f"first, or choose another folder with {key}=DIR."
        )
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: see `_is_at`
            if is_new:
                folder.rmdir()
        os.close(lock)


def check_free(folder: Path, key: str, patience_s: float = 0.0) -> None:
    """Check that nobody holds a folder, and that one can write there.

    Raises
    ------
    OutputError
        As `held`.
    """
    with held(folder, key, patience_s):
        pass


def _locked(path: Path, until: float) -> int | None:
    """A descriptor of the file that is locked, with this process in it; None if another has it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, lock):
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
            os.close(lock)
        except BlockingIOError:
            os.close(lock)
            if time.monotonic() >= until:
                return None
            time.sleep(POLL_S)
        except BaseException:
            os.close(lock)
            raise


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a file is still there under its name: who held it before may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _who(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, ValueError):
        return ""
    return f" (process {text})" if text.isdecimal() else ""
