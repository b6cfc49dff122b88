"""The process that forks: one answer a line, libraries loaded and let go, and nothing left."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE, Popen

import pytest

from tests.nodes.commands import Seen, below, wait_until_gone

IDLE_S = 2.0
FORKER = (
    "from clients.node.forks import fork_on_request\n"
    f"fork_on_request(0, 'installed', 'key_holder', idle_s={IDLE_S})"
)


class Refusing(BaseHTTPRequestHandler):
    """A SuperNode that knows no token; it notes those that it was shown."""

    shown: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.shown.update(str(value) for value in self.headers.values())
        self.send_response(400)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[tuple[str, set[str]]]:
    """HOST:PORT of such a SuperNode, and what it was shown."""
    shown: set[str] = set()
    handler = type("Noting", (Refusing,), {"shown": shown})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", shown
    finally:
        server.shutdown()
        server.server_close()


def wait_for(is_there: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_each_line_is_answered_whatever_becomes_of_the_loaded_process(
    refusing: tuple[str, set[str]],
) -> None:
    address, shown = refusing
    forker = Popen([sys.executable, "-P", "-c", FORKER], stdin=PIPE)
    assert forker.stdin is not None

    def ask(*tokens: str) -> Seen:
        """Have messages answered; the loaded process."""
        assert forker.stdin is not None
        spec = {
            "runtime_api_address": address,
            "insecure": True,
            "root_certificates_path": None,
            "runtime_dependency_install": False,
        }
        for token in tokens:
            forker.stdin.write(json.dumps({**spec, "token": token}).encode() + b"\n")
        forker.stdin.flush()
        wait_for(lambda: all(any(token in value for value in shown) for token in tokens))
        return below(forker.pid)[0]

    try:
        first = ask("token-1", "token-2")
        assert ask("token-3") == first
        os.kill(first.pid, signal.SIGKILL)
        wait_until_gone([first])
        second = ask("token-4")
        assert second != first
        wait_until_gone([second])  # nothing comes
        assert forker.poll() is None
        third = ask("token-5")
        assert third not in (first, second)
        forker.stdin.close()
        assert forker.wait(20.0) == 0
        wait_until_gone([third])
    finally:
        forker.kill()
        forker.wait()
