"""Drives a connection without a socket, so that thousands of splits can be tried."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import parse_endpoint
from proxy.upstream.connection import Buffers, Connection
from tests.upstream.cases import End

ENDPOINT = parse_endpoint("http://upstream.test")
BUFFERS = Buffers()


class Recorder:
    """A receiver that checks its own contract: pieces are not empty, one end, nothing after it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.has_ended = False
        self.error: UpstreamError | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def is_over(self) -> bool:
        return self.has_ended or self.error is not None

    def body_received(self, data: bytes) -> None:
        assert data and not self.is_over
        self.pieces.append(data)

    def body_ended(self) -> None:
        assert not self.is_over
        self.has_ended = True

    def body_failed(self, error: UpstreamError) -> None:
        assert not self.is_over
        self.error = error


@dataclass
class Result:
    """What came of an answer, without anything that may depend on how it was split."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    has_ended: bool = False
    error: tuple[ErrorKind, str | None] | None = None
    is_kept: bool = False


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed_by: str | None = None
        self.is_paused = False
        self.unwritten = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed_by is not None

    def close(self) -> None:
        self.closed_by = self.closed_by or "close"

    def abort(self) -> None:
        self.closed_by = self.closed_by or "abort"

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        return self.unwritten


class FakeOwner:
    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.closed: list[Connection] = []

    def socket_opened(self, connection: Connection) -> None: ...

    def connection_idle(self, connection: Connection) -> None:
        self.idle.append(connection)

    def connection_closed(self, connection: Connection) -> None:
        assert connection not in self.closed
        self.closed.append(connection)

    def socket_closed(self, connection: Connection) -> None: ...


class OfflineConnection:
    """A plain connection over a fake transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = FakeOwner()
        self.transport = FakeTransport()
        self.connection = Connection(ENDPOINT, self.owner, BUFFERS, None, loop)
        self.connection.connection_made(self.transport)

    def feed(self, data: bytes) -> None:
        """One read of the socket; nothing when the client no longer reads."""
        size = len(BUFFERS.read)
        for start in range(0, len(data), size):
            if self.transport.is_closing():
                return
            piece = data[start : start + size]
            self.connection.get_buffer(-1)[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    def end(self, end: End) -> None:
        if end is End.FIN and not self.transport.is_closing():
            self.connection.eof_received()
        if end is not End.STAY:
            self.connection.connection_lost(ConnectionResetError() if end is End.RST else None)


def exchange_offline(
    loop: asyncio.AbstractEventLoop, method: str, pieces: Iterable[bytes], end: End, *, late_start: bool = False
) -> Result:
    """The result of an answer that comes in `pieces`, one read each.

    `late_start`: the receiver is there only after everything came, rather than as soon as the head has.
    """
    offline = OfflineConnection(loop)
    waiter = offline.connection.send(b"request", method)
    recorder = Recorder()
    result = Result()
    is_started = False

    def start_when_possible() -> None:
        nonlocal is_started
        if waiter.done() and not is_started:
            is_started = True
            failure = waiter.exception()
            if failure is None:
                exchange = waiter.result()
                result.status, result.headers = exchange.status, exchange.headers
                exchange.start(recorder)
            else:
                assert isinstance(failure, UpstreamError)
                result.error = (failure.kind, failure.code)

    for piece in pieces:
        offline.feed(piece)
        if not late_start:
            start_when_possible()
    if late_start and end is End.STAY:
        start_when_possible()
    offline.end(end)
    start_when_possible()
    if not waiter.done():
        waiter.cancel()
        offline.connection.abort()
    result.body, result.has_ended = recorder.body, recorder.has_ended
    if recorder.error is not None:
        result.error = (recorder.error.kind, recorder.error.code)
    result.is_kept = end is End.STAY and offline.connection.is_idle and bool(offline.owner.idle)
    return result
