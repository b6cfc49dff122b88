"""Files that only their owner may read."""

import stat
from pathlib import Path

from fedtrade.atomic import replacing
from fedtrade.errors import ConfigurationError, OutputError

__all__ = ["check_private", "make_private_folder", "write_private"]

OWNER_FILE = 0o600
OWNER_FOLDER = 0o700


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step; at no time may anybody but its owner read it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.chmod(OWNER_FILE)  # empty so far
        with temporary.open("wb") as file:
            file.write(data)


def make_private_folder(path: Path) -> None:
    """Make a folder, with its parents, that only its owner may enter.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=OWNER_FOLDER, exist_ok=True)
        path.chmod(OWNER_FOLDER)
    except OSError as error:
        raise OutputError(
            f"the folder {path} cannot be made ({error.strerror}); choose another, or mend it."
        ) from None


def check_private(path: Path) -> None:
    """Refuse a private key that others may read.

    Raises
    ------
    ConfigurationError
        If it is not there, or its permissions let in others than its owner.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigurationError(f"the private key {path} cannot be read: {error}.") from None
    if mode & 0o077:
        raise ConfigurationError(
            f"the private key {path} has mode {mode:04o}, so that others may read it; "
            f"`chmod 600 {path}`."
        )
