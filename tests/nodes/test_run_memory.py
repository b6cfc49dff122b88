import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedtrade.errors import ConfigurationError, LimitError, OutputError
from fedtrade.nodes.run_memory import MOST_DAYS, MOST_RUNS, Damaged, RunMemory, server_mark

RUN_ID = 7
SERVER = "0123456789abcdef"
DAY_S = 86400.0


def memory(folder: Path, run_id: int = RUN_ID, server: str = SERVER) -> RunMemory:
    return RunMemory(folder, run_id, server)


def written(
    folder: Path, body: bytes = b"secret", run_id: int = RUN_ID, server: str = SERVER
) -> RunMemory:
    made = memory(folder, run_id, server)
    with made.held():
        made.write(body)
    return made


@contextmanager
def full_disk(n_bytes: int = 0) -> Iterator[None]:
    """No file of this process may be larger: the system refuses the write, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("body", [b"", b"secret", b"two\nlines\n", bytes(range(256)) * 100])
def test_what_is_written_is_read(tmp_path: Path, body: bytes) -> None:
    assert memory(tmp_path).read() is None
    written(tmp_path, b"earlier and longer")
    written(tmp_path, body)
    assert memory(tmp_path).read() == body


def test_runs_and_servers_have_memories_of_their_own(tmp_path: Path) -> None:
    written(tmp_path)
    assert memory(tmp_path, run_id=71).read() is None
    assert memory(tmp_path, server="fedcba9876543210").read() is None


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "runs"
    made = written(folder)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.path.with_suffix(".lock").stat().st_mode) == 0o600


def spoilt(data: bytes, how: str) -> bytes:
    match how:
        case "garbage":
            return b"\xff garbage"
        case "empty":
            return b""
        case "cut off":
            return data[:-1]
        case "one bit":
            return data[:-1] + bytes([data[-1] ^ 1])
        case _:
            return data + b"\0"


@pytest.mark.parametrize("how", ["garbage", "empty", "cut off", "one bit", "longer"])
def test_a_damaged_file_is_no_memory_and_is_put_aside(tmp_path: Path, how: str) -> None:
    made = written(tmp_path)
    bad = spoilt(made.path.read_bytes(), how)
    made.path.write_bytes(bad)
    found = made.read()
    assert isinstance(found, Damaged)
    assert "is damaged; it was put aside as" in found.reason
    assert made.path.with_suffix(".damaged").read_bytes() == bad
    assert made.path.with_suffix(".damaged").name in found.reason
    assert str(tmp_path) not in found.reason


@pytest.mark.parametrize("other", [(71, SERVER), (RUN_ID, "fedcba9876543210")])
def test_the_file_of_another_run_is_no_memory(tmp_path: Path, other: tuple[int, str]) -> None:
    theirs = memory(tmp_path, *other)
    theirs.write(b"secret")
    made = memory(tmp_path)
    theirs.path.rename(made.path)
    found = made.read()
    assert isinstance(found, Damaged)
    assert "is of another run" in found.reason


def test_nothing_that_was_put_aside_is_lost(tmp_path: Path) -> None:
    made = written(tmp_path)
    for data in (b"one", b"two", b"one", b"three"):
        made.path.write_bytes(data)
        assert isinstance(made.read(), Damaged)
    kept = sorted(path.read_bytes() for path in tmp_path.glob("*.damaged*"))
    assert kept == [b"one", b"three", b"two"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    made = written(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with (
        full_disk(),
        pytest.raises(OutputError, match=r"cannot be written \(File too large\)") as e,
    ):
        made.write(b"more than nothing")
    assert "remembers what it did before" in str(e.value)
    assert str(tmp_path) not in str(e.value)
    assert made.read() == b"secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    made.write(b"there is space again")
    assert made.read() == b"there is space again"


def test_a_damaged_file_is_not_given_up_where_it_cannot_be_put_aside(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.path.write_bytes(b"garbage")
    with full_disk(), pytest.raises(OutputError):
        made.read()
    assert made.path.read_bytes() == b"garbage"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="cannot be made"), memory(tmp_path / "runs").held():
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    made = memory(tmp_path)
    made.path.with_suffix(".lock").mkdir()
    with pytest.raises(OutputError, match=r"cannot be written \(Is a directory\)"), made.held():
        pass


def test_one_message_is_answered_at_a_time(tmp_path: Path) -> None:
    """Each reads, dawdles, and writes one more: none of the counts is lost."""
    written(tmp_path, b"0")

    def count() -> None:
        for _ in range(5):
            mine = memory(tmp_path)
            with mine.held():
                found = mine.read()
                assert isinstance(found, bytes)
                time.sleep(0.001)
                mine.write(str(int(found) + 1).encode())

    workers = [threading.Thread(target=count) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30.0)
    assert memory(tmp_path).read() == b"20"


HOLD = """
import sys, time
from pathlib import Path
from fedtrade.nodes.run_memory import RunMemory
with RunMemory(Path(sys.argv[1]), 7, "0123456789abcdef").held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_whoever_dies_lets_go(tmp_path: Path) -> None:
    """And whoever is at work makes others wait no longer than they want."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with (
                pytest.raises(LimitError, match=r"waited 0\.1 s \(allow\.most_seconds\)"),
                memory(tmp_path).held(0.1),
            ):
                pass
            with memory(tmp_path, run_id=8).held(0.1):
                pass  # another run is another matter
        finally:
            holder.kill()
    with memory(tmp_path).held(5.0):
        pass


def test_runs_that_are_long_over_are_forgotten(tmp_path: Path) -> None:
    now = time.time()
    for run_id in range(MOST_RUNS + 5):
        path = written(tmp_path, run_id=run_id).path
        os.utime(path, (now + run_id, now + run_id))
    mine = written(tmp_path, run_id=99)
    os.utime(mine.path, (now, now))
    mine.forget_others()
    left = {int(path.name.partition("-")[0]) for path in tmp_path.glob("*.state")}
    assert left == {*range(6, MOST_RUNS + 5), 99}
    old = memory(tmp_path, run_id=20)
    past = now - (MOST_DAYS + 1) * DAY_S
    for path in (old.path, old.path.with_suffix(".lock")):
        os.utime(path, (past, past))
    mine.forget_others()
    assert not old.path.exists()
    assert not old.path.with_suffix(".lock").exists()
    assert memory(tmp_path, run_id=21).read() == b"secret"


def test_a_run_that_was_forgotten_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """A server could go on with it, and the member would count from nothing."""
    old, other = written(tmp_path, run_id=1), memory(tmp_path, run_id=11)
    os.utime(old.path, (0.0, 0.0))
    assert other.read() is None
    other.forget_others()
    with pytest.raises(LimitError, match="this run is long over"):
        old.read()
    assert other.read() is None
    assert stat.S_IMODE((tmp_path / "over").stat().st_mode) == 0o600


def test_nothing_is_forgotten_that_cannot_be_noted(tmp_path: Path) -> None:
    old = written(tmp_path, run_id=1)
    os.utime(old.path, (0.0, 0.0))
    (tmp_path / "over").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        memory(tmp_path, run_id=2).forget_others()
    assert old.read() == b"secret"


def test_a_server_is_known_by_its_authority(tmp_path: Path) -> None:
    for name in ("a.crt", "b.crt", "same.crt"):
        (tmp_path / name).write_text("a.crt" if name == "same.crt" else name)
    assert server_mark(tmp_path / "a.crt") == server_mark(tmp_path / "same.crt")
    assert server_mark(tmp_path / "a.crt") != server_mark(tmp_path / "b.crt")
    with pytest.raises(ConfigurationError, match=r"root_certificates=.*cannot be read"):
        server_mark(tmp_path / "gone.crt")


def test_a_note_that_is_cut_off_hides_no_other(tmp_path: Path) -> None:
    for run_id in (1, 2):
        os.utime(written(tmp_path, run_id=run_id).path, (0.0, 0.0))
    (tmp_path / "over").write_text("17-so")  # as on a disk that was full
    memory(tmp_path, run_id=3).forget_others()
    for run_id in (1, 2):
        with pytest.raises(LimitError, match="this run is long over"):
            memory(tmp_path, run_id=run_id).read()


def test_a_full_disk_forgets_nothing(tmp_path: Path) -> None:
    old = written(tmp_path, run_id=123456789)
    os.utime(old.path, (0.0, 0.0))
    with full_disk(10), pytest.raises(OutputError, match="cannot be written"):
        memory(tmp_path, run_id=2).forget_others()
    assert old.read() == b"secret"


def test_one_server_does_not_push_out_the_runs_of_another(tmp_path: Path) -> None:
    other = written(tmp_path, run_id=1, server="another")
    for run_id in range(2, MOST_RUNS + 10):
        written(tmp_path, run_id=run_id)
    memory(tmp_path, run_id=99).forget_others()
    assert other.read() == b"secret"
