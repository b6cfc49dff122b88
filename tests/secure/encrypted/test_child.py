"""What becomes of the child process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted.child import Child, ChildDied, Limits
from tests.secure.encrypted.parties import scheme_and_keys


def _is_running(pid: int) -> bool:
    """A zombie that waits for its parent does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _ends(pid: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not _is_running(pid):
            return True
        time.sleep(0.02)
    return False


def test_refusals_are_answers_and_nonsense_is_the_end() -> None:
    scheme, keys = scheme_and_keys("bfv", False)
    with Child(Limits()) as child:
        child.ask("start", {"scheme": dict(scheme.fields())}, [keys.public])
        with pytest.raises(ProtocolError, match="not one of 8192 slots"):
            child.ask("add", {"weight": 1}, [b"garbage"])
        chunk = scheme.encryptor(keys.public).encrypt(np.arange(3))[0]
        child.ask("add", {"weight": 1}, [chunk])
        assert len(child.ask("total", {}, [])[1]) == 1
        with pytest.raises(ChildDied):
            child.ask("dance", {}, [])
        with pytest.raises(ChildDied):
            child.ask("total", {}, [])
    assert not _is_running(child.pid)


def test_it_ends_with_its_context() -> None:
    with Child(Limits()) as child:
        assert _is_running(child.pid)
    assert not _is_running(child.pid)


def test_it_ends_when_its_parent_is_killed() -> None:
    """Nothing in the parent gets to run."""
    code = (
        "import time; from fedtrade.secure.encrypted.child import Child, Limits;"
        "child = Child(Limits()); print(child.pid, flush=True); time.sleep(60)"
    )
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_running(pid)
        parent.kill()
    assert _ends(pid, 5.0)


def test_a_request_that_takes_too_long_is_ended_by_the_kernel() -> None:
    """Decrypting a hundred ciphertexts of Paillier takes longer than 0.2 s."""
    scheme, keys = scheme_and_keys("paillier", True)
    chunks = scheme.encryptor(keys.public).encrypt(np.ones(1, dtype=np.int64)) * 400
    with Child(Limits(timeout_s=0.3)) as child:
        child.ask("start", {"scheme": dict(scheme.fields())}, [])
        size = 400 * scheme.entries
        with pytest.raises(ChildDied, match=f"exit code -{int(signal.SIGALRM)}"):
            child.ask("decrypt", {"size": size, "n_chunks": len(chunks)}, [keys.secret, *chunks])


def test_it_gets_no_more_memory_than_it_may() -> None:
    scheme, keys = scheme_and_keys("bfv", False)
    with Child(Limits(memory_bytes=1 << 29)) as child:
        child.ask("start", {"scheme": dict(scheme.fields())}, [keys.public])
        with pytest.raises(ChildDied):
            child.ask("add", {"weight": 1}, [bytes(1 << 29)])


def test_it_gets_no_more_processor_time_than_it_may() -> None:
    scheme, keys = scheme_and_keys("paillier", True)
    chunks = scheme.encryptor(keys.public).encrypt(np.ones(1, dtype=np.int64)) * 1000
    with Child(Limits(cpu_s=1)) as child:
        child.ask("start", {"scheme": dict(scheme.fields())}, [])
        size = 1000 * scheme.entries
        with pytest.raises(ChildDied, match="exit code -9"):
            child.ask("decrypt", {"size": size, "n_chunks": len(chunks)}, [keys.secret, *chunks])


def test_it_survives_an_interrupt_that_is_for_its_parent() -> None:
    scheme, keys = scheme_and_keys("bfv", False)
    with Child(Limits()) as child:
        child.ask("start", {"scheme": dict(scheme.fields())}, [keys.public])
        os.kill(child.pid, signal.SIGINT)
        assert child.ask("total", {}, [])[1] == []
