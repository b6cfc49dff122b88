"""Panels kept as they were read from files, so that another process has them in a moment.

A node that answers each message by a new process would read the same file each time, and load
pandas for it: half a second that a kept panel takes a hundredth of. What is kept holds for the very
files, the options and the code that it was read by; anything else is read anew.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path
from stat import S_ISREG
from time import time_ns
from typing import Final

import numpy as np

from fedtrade.errors import OutputError
from fedtrade.market.panel import OHLV_FIELDS, Panel
from fedtrade.private_files import make_private_folder, write_private

__all__ = ["MOST_BYTES", "MOST_PANELS", "keeping_panels", "kept_or_read"]

MOST_PANELS: Final = 8
MOST_BYTES: Final = 2**30
"""Of all that is kept; what was used longest ago goes first."""

SETTLED_NS: Final = 2 * 10**9
"""A file that was changed a moment ago could change again without another time of change."""

SUFFIX: Final = ".panel"
READERS: Final = ("bar_time.py", "files.py", "layout.py", "panel.py", "repair.py", "timestamps.py")
"""The code, in this folder, that a panel depends on."""

_logger = logging.getLogger(__name__)
_folder: ContextVar[Path | None] = ContextVar("folder of kept panels", default=None)


@contextmanager
def keeping_panels(folder: Path | None) -> Iterator[None]:
    """Keep what is read from files in here; None keeps nothing.

    Parameters
    ----------
    folder : Path or None
        Made if need be, for its owner alone.
    """
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def kept_or_read(files: Sequence[Path], options: object, read: Callable[[], Panel]) -> Panel:
    """The panel of some files: as it was kept, or else read, and kept where `keeping_panels` says.

    Parameters
    ----------
    files : sequence of Path
        All that `read` reads.
    options : object
        All else that it depends on; its `repr` must tell it.
    read : callable
    """
    folder = _folder.get()
    before = _stamps(files) if folder is not None else None
    if folder is None or before is None:
        return read()
    text = repr((_code(), before, options))
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()}{SUFFIX}"
    panel = _kept(path)
    if panel is None:
        panel = read()
        if _stamps(files) == before:
            _keep(panel, path)
    return panel


def _stamps(files: Sequence[Path]) -> list[tuple[str, int, int, int, int]] | None:
    """What tells each file from its other versions; None while that cannot be told."""
    stamps = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            return None  # reading it says what is wrong
        if not S_ISREG(stat.st_mode) or time_ns() - stat.st_mtime_ns < SETTLED_NS:
            return None
        path = str(file.absolute())
        stamps.append((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return stamps


@cache
def _code() -> str:
    """What tells this code from other versions of it."""
    place = Path(__file__).parent
    digest = hashlib.sha256(f"pandas {version('pandas')}".encode())
    for name in READERS:
        digest.update((place / name).read_bytes())
    return digest.hexdigest()


def _kept(path: Path) -> Panel | None:
    """None if it is not there, or damaged."""
    try:
        data = path.read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            ohlv = {name: arrays[name] for name in OHLV_FIELDS if name in arrays}
            panel = Panel(
                arrays["bars"],
                tuple(str(asset) for asset in arrays["assets"]),
                arrays["close"],
                str(arrays["bar"]),
                ohlv or None,
            )
    except Exception:  # of whatever kind damage makes
        return None
    with suppress(OSError):
        path.touch()
    return panel


def _keep(panel: Panel, path: Path) -> None:
    """Where there is no room, nothing is kept, and nothing is lost."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        bars=panel.bars,
        assets=np.array(panel.assets, dtype=np.str_),
        close=panel.close,
        bar=np.array(panel.bar),
        **(panel.ohlv or {}),
    )
    try:
        make_private_folder(path.parent)
        write_private(path, buffer.getvalue())
        _make_room(path.parent)
    except (OSError, OutputError) as error:
        _logger.info("prices are read from their files each time: %s", error)


def _make_room(folder: Path) -> None:
    """Let go of what was used longest ago."""
    stats = [(file, file.stat()) for file in folder.glob(f"*{SUFFIX}")]
    n_bytes = 0
    for n_kept, (file, stat) in enumerate(sorted(stats, key=lambda pair: -pair[1].st_mtime_ns)):
        n_bytes += stat.st_size
        if n_kept >= MOST_PANELS or n_bytes > MOST_BYTES:
            file.unlink(missing_ok=True)
