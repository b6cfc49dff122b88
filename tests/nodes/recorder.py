"""An upstream that remembers the calls that reach it, with TLS and the server's certificate."""

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from fedtrade.nodes.provision import CERTIFICATE, CERTIFICATE_KEY


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Recorder:
    """Use it as a context; calls count when they are whole.

    Attributes
    ----------
    calls : list of Call
    answer : bytes
        What each is answered with.
    """

    folder: Path
    calls: list[Call] = field(default_factory=list)
    answer: bytes = b"done"

    def __enter__(self) -> Self:
        calls, recorder = self.calls, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                n_bytes = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(n_bytes)
                if len(body) < n_bytes:  # it has been cut off
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                calls.append(Call(self.command, self.path, headers, body))
                self.send_response(200)
                self.send_header("Content-Length", str(len(recorder.answer)))
                self.end_headers()
                self.wfile.write(recorder.answer)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the gateway has cut it off
                    self.close_connection = True

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / CERTIFICATE, self.folder / CERTIFICATE_KEY)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"
