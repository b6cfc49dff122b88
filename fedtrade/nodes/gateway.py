"""The gateway: of the SuperLink's interface, it serves what participants need, and nothing else.

Flower serves its nodes (Fleet), its users (Control) and its apps (Runtime) at one port: whoever
reaches it can submit runs and register nodes. The SuperLink therefore listens on loopback, and this
process is what the outside reaches: it speaks TLS with the server's certificate and passes on the
calls of nodes alone. Nodes sign their calls; the signature passes as it is. Who has signed with no
registered key can send little, and nobody can be slow for long (`GatewayLimits`).

    python -m fedtrade.nodes.gateway --host 0.0.0.0 --port 8443 --certificate server.crt
        --key server.key --upstream 127.0.0.1:8000 --authority ca.crt --registry registry.json
"""

import argparse
import asyncio
import re
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Router, request_response

from fedtrade.nodes.guarded_protocol import guarded
from fedtrade.nodes.settings import GatewayLimits
from fedtrade.nodes.signed_calls import KnownKeys

__all__ = ["gateway", "is_for_nodes"]

FLEET: Final = re.compile(rb"/v1/fleet/[a-z]+(-[a-z]+)*")
HEALTH: Final = b"/health"
KIB: Final = 1024

CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0
STOP_S: Final = 5
MOST_CONNECTIONS: Final = 2000
"""Of all addresses together."""

PASSED_ON: Final = frozenset(
    {"accept", "accept-encoding", "content-length", "content-type", "user-agent"}
)
"""Headers of a call, beside those of Flower: none that tells the SuperLink who is calling."""

FLOWER: Final = "flwr-"
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of an answer that are about a connection, or that uvicorn writes itself."""


def is_for_nodes(method: str, raw_path: bytes) -> bool:
    """Whether a call, by its method and its path as it was sent, is one that nodes make."""
    if method == "GET":
        return raw_path == HEALTH
    return method == "POST" and FLEET.fullmatch(raw_path) is not None


def gateway(
    upstream: str, context: ssl.SSLContext, keys: KnownKeys, limits: GatewayLimits
) -> Router:
    """The application.

    Parameters
    ----------
    upstream : str
        HOST:PORT of the SuperLink.
    context : ssl.SSLContext
        By which it is known.
    keys : KnownKeys
        Those of the register.
    limits : GatewayLimits
    """
    client = httpx.AsyncClient(
        base_url=f"https://{upstream}",
        verify=context,
        limits=httpx.Limits(max_connections=1000, max_keepalive_connections=200),
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=False,
    )

    async def pass_on(request: Request) -> Response:
        refusal = _refused(request, keys, limits)
        if refusal is not None:
            return refusal
        call = client.build_request(
            request.method,
            bytes(request.scope["raw_path"]).decode("ascii"),
            headers=[(k, v) for k, v in request.headers.items() if _is_passed_on(k)],
            content=_in_time(request, limits) if request.method == "POST" else None,
        )
        try:
            answer = await client.send(call, stream=True)
        except _TooSlowError:
            return _refusal(
                408,
                f"a body may take {limits.body_s:g} s, and more if it brings "
                f"{limits.least_kib_per_s:g} KiB a second (server.gateway_limits).",
            )
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except httpx.HTTPError as error:
            return _refusal(502, f"the SuperLink does not answer ({type(error).__name__}).")
        return StreamingResponse(
            _answered(answer),
            status_code=answer.status_code,
            headers={k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP},
        )

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        await client.aclose()

    return Router(default=request_response(pass_on), lifespan=lifespan)


class _TooSlowError(Exception):
    """A body takes longer than it may."""


def _refused(request: Request, keys: KnownKeys, limits: GatewayLimits) -> Response | None:
    """Why a call is not passed on, by what is known of it before its body."""
    raw_path = bytes(request.scope.get("raw_path") or b"")
    if not is_for_nodes(request.method, raw_path) or request.scope["query_string"]:
        return _refusal(403, "only nodes of the consortium are served here.")
    if "transfer-encoding" in request.headers:  # what has one length cannot be read in two ways
        return _refusal(411, "a call says by Content-Length how long it is.")
    party = keys.claimed(request.headers)
    if party is not None and party.revoked:
        return _refusal(401, f"the key of {party.name} was taken out.")
    n_bytes = int(request.headers.get("content-length", "0"))  # h11 takes digits alone
    most_unsigned = int(limits.most_unsigned_kib * KIB)
    if n_bytes <= most_unsigned:
        return None
    if not keys.has_signed(request.headers):
        return _refusal(
            413,
            f"a call that no registered key has signed has at most {most_unsigned} bytes, and this "
            f"one has {n_bytes} (server.gateway_limits.most_unsigned_kib).",
        )
    most = int(limits.most_call_mib * KIB * KIB)
    if n_bytes > most:
        return _refusal(
            413,
            f"a call has at most {most} bytes, and this one has {n_bytes} "
            "(server.gateway_limits.most_call_mib).",
        )
    return None


def _is_passed_on(name: str) -> bool:
    return name in PASSED_ON or name.startswith(FLOWER)


async def _in_time(request: Request, limits: GatewayLimits) -> AsyncIterator[bytes]:
    """A call's body. What counts is the time that the caller is waited for, not the SuperLink."""
    clock = asyncio.get_running_loop().time
    waited_s, n_bytes = 0.0, 0
    chunks = request.stream()
    while True:
        began = clock()
        allowed_s = limits.body_s + n_bytes / (limits.least_kib_per_s * KIB)
        try:
            async with asyncio.timeout(max(0.0, allowed_s - waited_s)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise _TooSlowError from None
        if chunk is None:
            return
        waited_s += clock() - began
        n_bytes += len(chunk)
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
    for name in ("--certificate", "--key", "--authority", "--registry"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--limits", default="{}", help="GatewayLimits as JSON")
    own = parser.parse_args()
    limits = GatewayLimits.model_validate_json(own.limits)
    context = ssl.create_default_context(cafile=str(own.authority))
    _allow_many_files()
    uvicorn.run(
        gateway(own.upstream, context, KnownKeys(own.registry), limits),
        host=own.host,
        port=own.port,
        ssl_certfile=str(own.certificate),
        ssl_keyfile=str(own.key),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=guarded(limits),
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=STOP_S,
    )


def _allow_many_files() -> None:
    """As many as this user may have: a connection is a file, and another one to the SuperLink."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
