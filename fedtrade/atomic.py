"""Files that are there as a whole or not at all.

The content goes to a temporary name in the same folder, is flushed to the disk, and is then
renamed, which POSIX does in one step. A reader, or a run that is stopped half-way, sees the
earlier file or the new one.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtrade.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder with {key}=DIR",
    errno.EDQUOT: "free some space or choose another folder with {key}=DIR",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`) or choose another folder",
    errno.EACCES: "choose a folder that you may write to with {key}=DIR",
    errno.EPERM: "choose a folder that you may write to with {key}=DIR",
    errno.EROFS: "choose a folder that you may write to with {key}=DIR",
    errno.EISDIR: "remove that folder or choose another name",
    errno.ENOTDIR: "a part of the path is a file: choose another folder with {key}=DIR",
    errno.EEXIST: "a part of the path is a file: choose another folder with {key}=DIR",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Replace a file by `data` (text as UTF-8) in one step, making its folder if need be.

    Raises
    ------
    OutputError
        If it cannot be written; what was stored before is untouched.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the place of `path` at the end.

    The temporary file is removed when the block fails. Errors of the operating system become
    `OutputError`; other exceptions pass unchanged.
    """
    target = Path(os.path.realpath(path))  # written through a link, which stays a link
    # Short, so that a name of the greatest length still works.
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)
    except OSError as error:
        raise OutputError(sentence_of(path, error)) from error
    finally:
        _remove(temporary)


def remove(path: Path) -> None:
    """Remove a file if there is one.

    Raises
    ------
    OutputError
        If it is there and cannot be removed.
    """
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{path} of an earlier run could not be removed ({reason}): remove it, or choose "
            "another folder with out=DIR."
        ) from error


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a temporary file if there is one; its folder may be missing or closed to us."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def sentence_of(path: str | Path, error: OSError, key: str = "out") -> str:
    """Why a file could not be written, and what to do.

    Parameters
    ----------
    key : str
        The setting that names its folder.
    """
    reason = error.strerror or type(error).__name__
    code = error.errno if error.errno is not None else 0
    remedy = _REMEDIES.get(code, "choose another folder with {key}=DIR").format(key=key)
    return f"{path} could not be written ({reason}): {remedy}."
