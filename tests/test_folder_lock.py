import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedtrade.errors import OutputError
from fedtrade.folder_lock import LOCK, check_free, held

HOLDER = """
import sys, time
from pathlib import Path
from fedtrade.folder_lock import held
with held(Path(sys.argv[1]), "out"):
    print("here", flush=True)
    time.sleep(60)
"""


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that holds the folder until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            process.kill()


def test_who_is_second_is_told_whose_the_folder_is_and_what_to_do(tmp_path: Path) -> None:
    with other_process(tmp_path) as first, pytest.raises(OutputError) as caught:
        check_free(tmp_path, "out")
    assert str(caught.value) == (
        f"out={tmp_path} is used by another process of fedtrade (process {first.pid}); stop that "
        "one first, or choose another folder with out=DIR."
    )


def test_it_is_not_the_same_in_one_process(tmp_path: Path) -> None:
    with held(tmp_path, "out"), pytest.raises(OutputError, match=f"process {os.getpid()}"):
        check_free(tmp_path, "out")


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with other_process(tmp_path) as first:
        first.kill()
        first.wait()
        assert (tmp_path / LOCK).exists()
        check_free(tmp_path, "out")


def test_one_who_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    with other_process(tmp_path) as first:
        threading.Timer(0.5, first.kill).start()
        began = time.monotonic()
        check_free(tmp_path, "out", 30.0)
        assert 0.4 < time.monotonic() - began < 20.0


def test_nothing_is_left(tmp_path: Path) -> None:
    """Neither a file, nor a folder that was not there; what somebody has put there stays."""
    for is_there in (False, True):
        folder = tmp_path / str(is_there)
        if is_there:
            folder.mkdir()
        check_free(folder, "out")
        assert folder.exists() is is_there
    with held(tmp_path / "new", "out"):
        (tmp_path / "new/results.json").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.json"]


def test_a_file_that_was_removed_is_nobodys_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking it: whoever comes next makes another one, and both would run."""
    removed: list[Path] = []
    lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(tmp_path / LOCK)
            removed[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with held(tmp_path, "out"), pytest.raises(OutputError, match="is used by another"):
        check_free(tmp_path, "out")
    assert removed


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"choose another folder with state=DIR\.$"):
        check_free(tmp_path / "file/state", "state")
