"""The caller's side of a stream: response headers, chunk framing, and the transport underneath.

The response is aiohttp-sse's `EventSourceResponse` (its headers, its detection of peers that are gone without a word);
its ping task is left out, because every dialect has a heartbeat of its own and the relay knows when one is due. Events
are written past aiohttp's writer straight to the transport: one `write` an upstream read, no task, no await. That is
worth about 26 us an event against `await response.write`.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Coroutine, Mapping
from typing import TypeVar

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from aiohttp_sse import EventSourceResponse

_T = TypeVar("_T")


class CallerStream(EventSourceResponse):
    """The response of a stream, in any dialect."""

    def __init__(
        self, *, content_type: str, headers: Mapping[str, str], peer_timeout_s: float, status: int = 200
    ) -> None:
        """`peer_timeout_s`: the kernel breaks a connection whose bytes stay unacknowledged that long."""
        super().__init__(status=status, headers=headers, allow_all_methods=True, send_timeout=peer_timeout_s)
        self.headers["Content-Type"] = content_type
        self.headers["Cache-Control"] = "no-cache, no-transform"

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers. Unlike the parent's, starts no ping task."""
        if self.prepared:
            return self._payload_writer
        if request.version < HttpVersion11:
            # No chunking there: the end of the connection is the end of the stream.
            self.force_close()
            del self.headers["Connection"]
        self._set_tcp_user_timeout(request)
        return await web.StreamResponse.prepare(self, request)


def run_now(steps: Coroutine[object, None, _T]) -> _T:
    """The result of a coroutine that never waits. Raises RuntimeError if it does."""
    try:
        steps.send(None)
    except StopIteration as result:
        return result.value  # type: ignore[no-any-return]  # StopIteration.value is untyped
    steps.close()
    raise RuntimeError("the coroutine waited")


class StreamSink:
    """Writes whole frames to one caller. Implements `relay.Sink`."""

    __slots__ = ("_is_chunked", "_request", "_response", "_transport")

    def __init__(self, request: BaseRequest, response: CallerStream) -> None:
        self._request = request
        self._response = response
        self._transport: asyncio.WriteTransport | None = None
        """Set once the headers are out."""
        self._is_chunked = True

    @property
    def is_begun(self) -> bool:
        """Whether the status is out, so that an error can only be said within the stream."""
        return self._response.prepared

    def begin(self) -> None:
        """Send the response's headers."""
        # prepare() is a coroutine only for its hooks, of which a bare request has none: it never waits.
        run_now(self._response.prepare(self._request))
        self._transport = self._request.transport
        self._is_chunked = self._request.version >= HttpVersion11

    def write(self, data: bytes) -> None:
        if not self._response.prepared:
            self.begin()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def waiting_bytes(self) -> int:
        transport = self._transport
        if transport is None:
            return 0
        return transport.get_write_buffer_size() + _unsent_bytes(transport)

    def abort(self) -> None:
        if self._request.transport is not None:
            reset(self._request.transport)


def reset(transport: asyncio.WriteTransport) -> None:
    """Break a connection so that the peer sees a reset. A plain abort sends FIN, which can pass for the end of the body."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _unsent_bytes(transport: asyncio.BaseTransport) -> int:
    """What the kernel holds for the peer (Linux SIOCOUTQ, the same number as TIOCOUTQ); 0 where it does not tell."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


class NoSink:
    """Where a stream goes that is folded into a whole answer. Implements `relay.Sink`."""

    @property
    def is_begun(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        raise AssertionError("a folded stream writes nothing")

    def waiting_bytes(self) -> int:
        return 0

    def abort(self) -> None:
        return None
