import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedtrade.errors import NodeError
from fedtrade.nodes.ports import free_port
from fedtrade.nodes.process import Process

SLEEPER = "import subprocess, sys, time; print('up', flush=True); "


def started(code: str) -> Process:
    return Process([sys.executable, "-c", code], name="it", environment=os.environ)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_there(pid)


def test_lines_are_passed_on_and_the_status_is_told() -> None:
    lines: list[str] = []
    process = Process(
        [sys.executable, "-c", "import sys; print('one'); print('two', file=sys.stderr); exit(3)"],
        name="it",
        environment=os.environ,
        on_line=lines.append,
    )
    assert process.wait(10.0) == 3
    assert sorted(lines) == ["one", "two"]
    with pytest.raises(NodeError, match=r"it ended with status 3: (one|two)"):
        process.wait_until(lambda: False, 1.0)


def test_what_ignores_being_told_is_ended_with_what_it_started() -> None:
    process = started(
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    process.wait_until(lambda: bool(process.tail), 10.0)
    child = int(process.tail[0])
    process.stop(0.3)
    assert process.status == -signal.SIGKILL
    assert gone(child)


def test_nothing_is_left_when_the_launcher_is_killed() -> None:
    code = (
        "import os, sys, time; from fedtrade.nodes.process import Process;"
        "p = Process([sys.executable, '-c', 'import time; time.sleep(60)'], name='x',"
        " environment=os.environ); print(p.pid, flush=True); time.sleep(60)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    assert is_there(child)
    launcher.kill()
    launcher.wait(5.0)
    launcher.stdout.close()
    assert gone(child)


def test_what_has_ended_leaves_nothing_of_its_group() -> None:
    process = started(
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)'], stdout=subprocess.DEVNULL); print(child.pid)"
    )
    assert process.wait(10.0) == 0
    assert gone(int(process.tail[0]))


def test_a_number_that_may_be_anothers_is_never_sent_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numbers of processes come round: whoever has this one now is none of ours."""
    process = started("pass")
    while process.status is None:
        time.sleep(0.01)
    assert Path(f"/proc/{process.pid}").exists()  # kept, so that nobody else gets it
    assert process.wait(1.0) == 0
    assert not Path(f"/proc/{process.pid}").exists()
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(pid))
    monkeypatch.setattr(os, "killpg", lambda pid, number: sent.append(pid))
    process.send(signal.SIGTERM)
    process.stop()
    process.kill()
    assert process.status == 0
    assert not sent


def test_what_is_never_ready_is_given_up() -> None:
    process = started("import time; time.sleep(60)")
    try:
        with pytest.raises(NodeError, match=r"not ready after 0\.2 s"):
            process.wait_until(lambda: False, 0.2)
    finally:
        process.kill()
    assert process.status == -signal.SIGKILL


def test_a_command_that_there_is_not_is_named() -> None:
    with pytest.raises(NodeError, match="/no/such/command cannot be started"):
        Process(["/no/such/command"], name="it", environment={})


def test_a_taken_port_is_named_with_its_setting() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NodeError, match=rf"server\.port={port} cannot be listened on"):
            free_port("127.0.0.1", port, "server.port")
    assert free_port("127.0.0.1", 0, "server.port") > 0
