"""uvicorn's HTTP protocol over httptools, with limits on what a client may withhold.

httptools is 0.1 ms faster per request than h11, uvicorn's other parser, but lets a head grow without limit. uvicorn
itself closes a connection that is idle after an answer, but neither one that never finishes its request nor one that
never reads the answer, and drops the answer for a client that has closed its half.
"""

import asyncio
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 2**16
"""Bytes of an incomplete head, the address and the headers; h11 allows as many."""
PATIENCE = 20.0
"""Seconds a client may take to send a request, and may read nothing of an answer. It is looked at so often, so that a
connection is closed after one to two times as many."""


class _OneWrite:
    """A transport that sends at once what is written in one turn of the event loop.

    uvicorn writes the head and the body of an answer apart: two calls of the system, and after each one the event loop
    waits for Python's lock while other threads draw.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()


class Protocol(HttpToolsProtocol):
    """One connection."""

    transport: asyncio.Transport
    _unfinished = 0
    """Bytes received since the last complete head or part of a body."""
    _requests = 0
    """Requests received whole."""
    _seen = (0, 0)
    """What the last look saw: requests received whole, and bytes that the client has yet to read."""
    _half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        self._written = _OneWrite(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._written))
        connection = transport.get_extra_info("socket")
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only for a listener that was made with IPPROTO_TCP. Without, each answer waits 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._look = self.loop.call_later(PATIENCE, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102  # as inherited, and so below
        self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("the address or the headers are too long")

    def on_headers_complete(self) -> None:  # noqa: D102
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:  # noqa: D102
        self._requests += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:  # noqa: D102
        super().on_response_complete()
        if self._half_closed and not self.pipeline and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection if an answer is still to be sent: the client has closed only its own half."""
        self._written.flush()  # or asyncio would close the connection first
        self._half_closed = self.cycle is not None and not self.cycle.response_complete
        return self._half_closed

    def _check_progress(self) -> None:
        """Close the connection if since the last look it finished no request, or read none of what it was sent."""
        unread = self.transport.get_write_buffer_size()
        answering = self.cycle is not None and not self.cycle.response_complete
        seen = self._requests, unread
        if seen == self._seen and unread > 0:
            self.transport.abort()
        elif self._requests == self._seen[0] and not answering and unread == 0:
            self.transport.close()
        else:
            self._seen = seen
            self._look = self.loop.call_later(PATIENCE, self._check_progress)
