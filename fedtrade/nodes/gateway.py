"""The gateway: of the SuperLink's interface, it serves what participants need, and nothing else.

Flower serves its nodes (Fleet), its users (Control) and its apps (Runtime) at one port: whoever
reaches it can submit runs and register nodes. The SuperLink therefore listens on loopback, and this
process is what the outside reaches: it speaks TLS with the server's certificate and passes on the
calls of nodes alone. Nodes sign their calls; the signature passes as it is.

    python -m fedtrade.nodes.gateway --host 0.0.0.0 --port 8443 --certificate server.crt
        --key server.key --upstream 127.0.0.1:8000 --authority ca.crt
"""

import argparse
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["gateway", "is_for_nodes"]

FLEET: Final = re.compile(rb"/v1/fleet/[A-Za-z0-9/-]+")
HEALTH: Final = b"/health"
MOST_BYTES: Final = 512 * 1024 * 1024
"""Of one call; Flower sends objects one by one."""

CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def is_for_nodes(method: str, raw_path: bytes) -> bool:
    """Whether a call, by its method and its path as it was sent, is one that nodes make."""
    if method == "GET":
        return raw_path == HEALTH
    return method == "POST" and FLEET.fullmatch(raw_path) is not None


def gateway(upstream: str, context: ssl.SSLContext) -> Starlette:
    """The application.

    Parameters
    ----------
    upstream : str
        HOST:PORT of the SuperLink.
    context : ssl.SSLContext
        By which it is known.
    """
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=200)
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    client = httpx.AsyncClient(
        base_url=f"https://{upstream}", verify=context, limits=limits, timeout=timeout
    )

    async def pass_on(request: Request) -> Response:
        raw_path = bytes(request.scope.get("raw_path") or b"")
        if not is_for_nodes(request.method, raw_path) or request.scope["query_string"]:
            return _refusal(403, "only nodes of the consortium are served here.")
        if int(request.headers.get("content-length", "0") or 0) > MOST_BYTES:
            return _refusal(413, f"a call has at most {MOST_BYTES} bytes.")
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP]
        call = client.build_request(
            request.method,
            raw_path.decode("ascii"),
            headers=headers,
            content=_bounded(request) if request.method == "POST" else None,
        )
        try:
            answer = await client.send(call, stream=True)
        except _TooLongError:
            return _refusal(413, f"a call has at most {MOST_BYTES} bytes.")
        except httpx.HTTPError as error:
            return _refusal(502, f"the SuperLink does not answer ({type(error).__name__}).")
        return StreamingResponse(
            _answered(answer),
            status_code=answer.status_code,
            headers={k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP},
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(routes=[Route("/{path:path}", pass_on, methods=methods)], lifespan=lifespan)


class _TooLongError(Exception):
    """A body is longer than it may be."""


async def _bounded(request: Request) -> AsyncIterator[bytes]:
    n_bytes = 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes > MOST_BYTES:
            raise _TooLongError
        yield chunk


async def _answered(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _refusal(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status_code=status)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m fedtrade.nodes.gateway")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--certificate", "--key", "--authority"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--upstream", required=True)
    own = parser.parse_args()
    context = ssl.create_default_context(cafile=str(own.authority))
    uvicorn.run(
        gateway(own.upstream, context),
        host=own.host,
        port=own.port,
        ssl_certfile=str(own.certificate),
        ssl_keyfile=str(own.key),
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
    )


if __name__ == "__main__":
    main()
