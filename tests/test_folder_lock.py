import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fedtrade.errors import NodeError, OutputError
from fedtrade.folder_lock import held

HOLDER = """
import sys, time
from pathlib import Path
from fedtrade.folder_lock import held
with held(Path(sys.argv[1]), "out"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_and_none_once_it_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        refused = pytest.raises(NodeError, match=r"out=.* is used by another .* out=FOLDER")
        with refused, held(tmp_path, "out"):
            raise AssertionError
        holder.kill()
    with held(tmp_path, "out", patience_s=5.0):
        pass


def test_somebody_who_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    first = held(tmp_path, "out")
    first.__enter__()
    threading.Timer(0.3, lambda: first.__exit__(None, None, None)).start()
    with held(tmp_path, "out", patience_s=10.0):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(OutputError, match=r"state=.*/gone cannot be written to")
    with refused, held(tmp_path / "gone", "state"):
        raise AssertionError
