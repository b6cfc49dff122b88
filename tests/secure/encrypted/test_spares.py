"""Idle child processes: kept for the next sum, and neither shared nor left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted import CiphertextSum, spares
from fedtrade.secure.encrypted.child import Child, ChildDied, Limits
from fedtrade.secure.encrypted.spares import Spares
from tests.secure.encrypted.parties import consortium, scheme_and_keys

LIMITS = Limits()


@pytest.fixture
def kept() -> Iterator[Spares]:
    found = Spares()
    yield found
    found.close()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _ends(pid: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while _is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not _is_running(pid)


def test_a_child_is_used_again(kept: Spares) -> None:
    first = kept.take(LIMITS)
    kept.give_back(first, LIMITS)
    assert kept.take(LIMITS) is first
    other = kept.take(LIMITS)
    assert other is not first
    kept.give_back(first, LIMITS)
    kept.give_back(other, LIMITS)
    assert not _is_running(first.pid)
    assert kept.take(LIMITS) is other
    other.close()


def test_one_that_died_is_replaced(kept: Spares) -> None:
    """Whether it was idle then, or is given back."""
    first = kept.take(LIMITS)
    kept.give_back(first, LIMITS)
    os.kill(first.pid, signal.SIGKILL)
    assert _ends(first.pid)
    second = kept.take(LIMITS)
    assert second.pid != first.pid
    with pytest.raises(ChildDied):
        second.ask("dance", {}, [])
    kept.give_back(second, LIMITS)
    third = kept.take(LIMITS)
    assert third.is_alive
    third.close()


def test_one_that_dies_between_is_alive_and_then_not_costs_nothing(kept: Spares) -> None:
    """A sum that was given a dying child goes on with another."""
    scheme, keys = scheme_and_keys("bfv", False)
    chunks = scheme.encryptor(keys.public).encrypt(np.arange(3))
    with CiphertextSum(scheme, keys.public, 3, spares=kept) as total:
        total.add(0, chunks)
        child = total._running()
        os.kill(child.pid, signal.SIGKILL)
        total.add(1, chunks)
        assert total.close().numbers == (0, 1)
        assert total.n_restarts == 1


def test_a_child_under_other_limits_is_not_used(kept: Spares) -> None:
    first = kept.take(LIMITS)
    kept.give_back(first, LIMITS)
    other = kept.take(Limits(timeout_s=5.0))
    assert other is not first
    assert not _is_running(first.pid)
    other.close()


def test_a_child_serves_so_often(kept: Spares, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "MOST_USES", 3)
    pids = []
    for _ in range(7):
        child = kept.take(LIMITS)
        pids.append(child.pid)
        kept.give_back(child, LIMITS)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    assert kept._uses.keys() == {child}


def test_an_interrupted_request_ends_the_child(
    kept: Spares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next answer would be to the request before."""
    scheme, keys = scheme_and_keys("bfv", False)
    chunks = scheme.encryptor(keys.public).encrypt(np.arange(3))
    total = CiphertextSum(scheme, keys.public, 3, spares=kept)
    total.add(0, chunks)
    pid = total._running().pid

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fedtrade.secure.encrypted.child.receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            total.add(1, chunks)
    total.end()
    assert not _is_running(pid)
    assert kept._idle is None


def test_sums_one_after_the_other_take_one_child(kept: Spares) -> None:
    """Of other schemes, keys and sizes, and nothing of a sum is left for the next."""
    pids = set()
    for name, weighted, size in (("bfv", False, 3), ("ckks", False, 5), ("bfv", False, 3)):
        scheme, keys = scheme_and_keys(name, weighted)
        values = np.arange(size)
        chunks = scheme.encryptor(keys.public).encrypt(values)
        with CiphertextSum(scheme, keys.public, size, spares=kept) as total:
            for number in range(3):
                total.add(number, chunks)
            pids.add(total._running().pid)
            opened = scheme.decryptor(keys.secret).decrypt(total.close().chunks, size)
        assert abs(opened.counts - 3).max() < 0.01
        if name == "bfv":
            assert opened.values.tolist() == (3 * values).tolist()
    assert len(pids) == 1


def test_a_key_holder_keeps_its_child(kept: Spares) -> None:
    members = consortium("bfv", False)
    members.holder._spares = kept
    pids = []
    for session in range(3):
        made = members.contributions(session)
        signed = [contribution.signed for contribution in made]
        total = members.total(made, [1] * 5)
        found = members.holder.decrypt(session, 20, total, signed)
        assert (found == members.values.sum(axis=0)).all()
        child = kept.take(LIMITS)
        pids.append(child.pid)
        kept.give_back(child, LIMITS)
        if session == 1:
            os.kill(child.pid, signal.SIGKILL)
            assert _ends(child.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_key_holder_that_refuses_keeps_its_child_too(kept: Spares) -> None:
    members = consortium("bfv", False)
    members.holder._spares = kept
    made = members.contributions(0)
    signed = [contribution.signed for contribution in made]
    with pytest.raises(ProtocolError, match="not the sum of the 5 contributions that"):
        members.holder.decrypt(0, 20, members.total(made[:1], [1]), signed)
    assert kept._idle is not None


def test_the_idle_child_ends_with_its_process() -> None:
    """In the ordinary way, by an error, and killed."""
    code = (
        "import os, signal, sys\n"
        "from fedtrade.secure.encrypted.spares import Spares\n"
        "from fedtrade.secure.encrypted.child import Limits\n"
        "kept = Spares(); child = kept.take(Limits()); kept.give_back(child, Limits())\n"
        "print(child.pid, flush=True)\n"
    )
    root = str(Path(__file__).parents[3])
    for end in ("", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGKILL)"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code + end],
            capture_output=True,
            cwd=root,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert _ends(int(done.stdout))


def test_a_forked_process_has_none_of_its_parents(kept: Spares) -> None:
    """Not even if a thread of the parent held the lock, and it ends nothing."""
    child = kept.take(LIMITS)
    kept.give_back(child, LIMITS)
    read, write = os.pipe()
    with kept._lock:
        forked = os.fork()
        if not forked:
            other = kept.take(LIMITS)
            kept.give_back(other, LIMITS)
            kept.close()
            os.write(write, f"{other.pid} {child.pid}".encode())
            os._exit(0)
    os.close(write)
    os.waitpid(forked, 0)
    theirs, ours = map(int, os.read(read, 100).split())
    os.close(read)
    assert (ours, theirs != ours) == (child.pid, True)
    assert _ends(theirs)
    assert kept.take(LIMITS) is child
    assert child.ask("start", {"scheme": dict(scheme_and_keys("bfv", False)[0].fields())}, [])
    child.close()


def test_threads_never_share_a_child(kept: Spares) -> None:
    """Four threads take and give back; each child answers one of them at a time."""
    used: list[Child] = []
    held: set[int] = set()
    errors: list[str] = []
    scheme = dict(scheme_and_keys("bfv", False)[0].fields())

    def work() -> None:
        for _ in range(4):
            child = kept.take(LIMITS)
            used.append(child)
            if child.pid in held:
                errors.append("shared")
            held.add(child.pid)
            if child.ask("start", {"scheme": scheme}, []) != ({}, []):
                errors.append("wrong answer")
            held.discard(child.pid)
            kept.give_back(child, LIMITS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(used) == 16
    alive = [child for child in set(used) if child.is_alive]
    assert len(alive) == 1
    assert kept._uses.keys() == set(alive)


def test_the_server_and_a_key_holder_never_have_the_same() -> None:
    """The key holder's children know secret keys."""
    from clients import key_holder_party
    from strategies.trust import encrypted

    assert key_holder_party.SPARES is not encrypted.SPARES
