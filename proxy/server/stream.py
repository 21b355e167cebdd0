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
from aiohttp.http_writer import StreamWriter
from aiohttp.web_request import BaseRequest
from aiohttp_sse import EventSourceResponse

from proxy.server.protocol import CallerProtocol

_T = TypeVar("_T")


class CallerStream(EventSourceResponse):
    """The response of a stream, in any dialect."""

    _send_headers_immediately = False
    """The headers leave with the first frame, in one write."""

    def __init__(
        self, *, content_type: str, headers: Mapping[str, str], caller_stall_s: float, status: int = 200
    ) -> None:
        """`caller_stall_s`: see `CallerProtocol.expect_taking`."""
        super().__init__(status=status, headers=headers, allow_all_methods=True, send_timeout=None)
        self.headers["Content-Type"] = content_type
        self.headers["Cache-Control"] = "no-cache, no-transform"
        self.is_whole = False
        """The end of the message is written."""
        self._caller_stall_s = caller_stall_s

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers. Unlike the parent's, starts no ping task."""
        if self.prepared:
            return self._payload_writer
        if request.version < HttpVersion11:
            # No chunking there: the end of the connection is the end of the stream.
            self.force_close()
            del self.headers["Connection"]
        elif not request.keep_alive:
            self.headers["Connection"] = "close"
        # Set for the connection and left: the parent would set it and take it back with every stream.
        protocol = request.protocol
        if isinstance(protocol, CallerProtocol):
            protocol.expect_taking(self._caller_stall_s)
        return await web.StreamResponse.prepare(self, request)

    def end_with(self, data: bytes) -> bytes:
        """`data` and the end of the message, framed to be written at once; `write_eof` then has nothing left to do."""
        self.is_whole = True
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"

    async def write_eof(self, data: bytes = b"") -> None:
        """End the message, unless `end_with` did."""
        if not self.is_whole:
            await super().write_eof(data)


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

    def begin(self, data: bytes = b"") -> None:
        """Send the response's headers, and `data` with them; nothing when the caller's connection is ending."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        # Neither coroutine waits: prepare() is one for its hooks, of which a bare request has none, and write() for the
        # drain that it is told to leave out.
        writer = run_now(self._response.prepare(self._request))
        assert isinstance(writer, StreamWriter)
        self._transport = transport
        self._is_chunked = self._request.version >= HttpVersion11
        if data:
            run_now(writer.write(data, drain=False))
        else:
            writer.send_headers()
        self._response.headers.clear()  # Sent. A stream can stay open for long.

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            self.begin(data)
            return
        if transport.is_closing():
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def write_last(self, data: bytes) -> None:
        """Send `data` as the end of the message."""
        transport = self._transport
        if transport is None:
            self._begin_whole(data)
        elif not self._is_chunked:
            if data:
                self.write(data)
        elif not transport.is_closing():
            transport.write(self._response.end_with(data))

    def _begin_whole(self, data: bytes) -> None:
        """Send the headers, `data`, and the end of the message at once."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if self._request.version < HttpVersion11:
            self.begin(data)
            return
        writer = run_now(self._response.prepare(self._request))
        assert isinstance(writer, StreamWriter)
        self._transport = transport
        writer.chunked = False  # Framed here, with its end.
        run_now(writer.write(self._response.end_with(data), drain=False))

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

    def write_last(self, data: bytes) -> None:
        self.write(data)

    def waiting_bytes(self) -> int:
        return 0

    def abort(self) -> None:
        return None
