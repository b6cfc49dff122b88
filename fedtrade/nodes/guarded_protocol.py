"""HTTP connections that nobody keeps by being slow, and of which nobody has too many.

uvicorn (with h11) bounds the size of headers, refuses what is no proper HTTP, and closes a
connection that is idle between two calls. It waits for ever for headers that have begun, for the
rest of a body that nobody wants, and for a caller that does not read.
"""

import asyncio
import ipaddress
from collections import Counter
from typing import Any, ClassVar, Final, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fedtrade.nodes.settings import GatewayLimits

__all__ = ["address_of", "guarded"]

Phase = Literal["headers", "unread"] | None
IPV6_BITS: Final = 64
HEADER_PIECE: Final = 4096
TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
)


def address_of(host: str) -> str:
    """Where a caller is; one has a whole /64 of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_BITS), strict=False))


def guarded(limits: GatewayLimits) -> type[H11Protocol]:
    """A protocol for uvicorn, which counts connections by address."""

    class Guarded(_GuardedProtocol):
        own = limits
        counts: ClassVar[Counter[str]] = Counter()

    return Guarded


class _GuardedProtocol(H11Protocol):
    own: ClassVar[GatewayLimits]
    counts: ClassVar[Counter[str]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._phase: Phase = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._address = address_of(self.client[0] if self.client else "")
        self.counts[self._address] += 1
        if self.counts[self._address] > self.own.most_connections:
            words = (
                f"{self._address} has {self.own.most_connections} connections already.\n".encode()
            )
            self.transport.write(TOO_MANY % (len(words), words))
            self.transport.close()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self.counts.subtract([self._address])
        if not self.counts[self._address]:
            del self.counts[self._address]
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            # h11 looks how long headers are while they are incomplete, and so not at those that
            # come at once.
            n = HEADER_PIECE if self.conn.their_state is h11.IDLE else len(data)
            super().data_received(data[:n])
            data = data[n:]
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The caller does not read as fast as it is written to."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.own.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _look(self) -> None:
        """Start the clock where something new is waited for."""
        phase = self._waiting_for()
        if phase == self._phase:
            return
        self._phase = phase
        if self._timer is not None:
            self._timer.cancel()
        self._timer = (
            None
            if phase is None
            else self.loop.call_later(self.own.headers_s, self.transport.abort)
        )

    def _waiting_for(self) -> Phase:
        if self.conn.their_state is h11.IDLE or self.transport.is_closing():
            return "headers"
        is_answered = self.conn.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        return "unread" if is_answered and self.conn.their_state is h11.SEND_BODY else None
