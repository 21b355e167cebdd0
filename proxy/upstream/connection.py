"""One connection to an upstream: bytes of the socket to and from at most one exchange at a time.

    OPENING --ready--> IDLE --send--> WAITING --head--> ANSWERING --message complete--> IDLE, or CLOSED
     (TLS)                                                  +--drain--> DRAINING --message complete--> IDLE, or CLOSED

Any state goes to CLOSED by abort, a fault, or the loss of the socket; whoever waits is told first, then the socket is
aborted. Bytes or an end of the stream in IDLE close the connection, since nobody asked for them.

`asyncio.BufferedProtocol`, because its `get_buffer` and `buffer_updated` are synchronous pairs on asyncio's and uvloop's
plain TCP transports: one buffer serves every connection of a loop, and a read allocates nothing but the body's bytes.
"""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import termios
from enum import Enum
from typing import Protocol, cast

from proxy.hub.errors import UpstreamError
from proxy.upstream.answer import AnswerHead, AnswerReader, keep_alive_seconds
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.exchange import ConnectTimings, Exchange
from proxy.upstream.faults import FaultCode, cut, headers_timeout, unreachable
from proxy.upstream.tls import RECORD_BYTES, TlsFilter

READ_BYTES = 64 * 1024
"""Of one read; asyncio's own default of 256 KB allocates as much each time."""
MAX_DRAINED_BYTES = 256 * 1024
"""More than this is not worth reading for a connection's sake."""


CLOSE_S = 1.0
"""How long a peer may take to accept the last bytes of a connection that closes in good order."""


class Buffers:
    """Scratch space that all connections of one loop share: it is only used within one callback."""

    def __init__(self) -> None:
        self.read = memoryview(bytearray(READ_BYTES))
        self.plain = memoryview(bytearray(READ_BYTES + RECORD_BYTES))
        """Decrypted bytes of one read."""


class Owner(Protocol):
    """The pool, as its connections see it."""

    def socket_opened(self, connection: "Connection") -> None: ...

    def connection_idle(self, connection: "Connection") -> None:
        """The message is complete and another request may follow."""
        ...

    def connection_closed(self, connection: "Connection") -> None:
        """No request may follow any more; called once. The socket closes within the next turn of the loop."""
        ...

    def socket_closed(self, connection: "Connection") -> None: ...


class State(Enum):
    OPENING = "opening"
    IDLE = "idle"
    WAITING = "waiting"
    ANSWERING = "answering"
    DRAINING = "draining"
    CLOSED = "closed"


class Connection(asyncio.BufferedProtocol):
    """A connection to `endpoint`. Made by the connector, owned by the pool, driven by the loop."""

    __slots__ = (
        "_buffers",
        "_drain_timer",
        "_drained_bytes",
        "_exchange",
        "_handshake",
        "_is_paused",
        "_loop",
        "_owner",
        "_reader",
        "_sent_at",
        "_state",
        "_tls",
        "_transport",
        "_waiter",
        "connect",
        "endpoint",
        "has_answered",
        "idle_since",
        "keep_alive_s",
        "opened_at",
        "peer",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        owner: Owner,
        buffers: Buffers,
        tls: TlsFilter | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.endpoint = endpoint
        self.connect: ConnectTimings | None = None
        """Set until the first exchange has taken it."""
        self.peer = ""
        self.opened_at = loop.time()
        self.idle_since = self.opened_at
        self.keep_alive_s: float | None = None
        """How long the peer keeps an idle connection, as its last answer said."""
        self.has_answered = False
        """A byte of the answer to the last request has come."""
        self._owner = owner
        self._buffers = buffers
        self._tls = tls
        self._loop = loop
        self._state = State.OPENING
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[Exchange] | None = None
        self._reader: AnswerReader | None = None
        self._exchange: Exchange | None = None
        self._sent_at = 0.0
        self._is_paused = False
        self._drain_timer: asyncio.TimerHandle | None = None
        self._drained_bytes = 0

    # --- for the connector and the pool

    @property
    def is_idle(self) -> bool:
        """Whether a request may be sent."""
        return self._state is State.IDLE and self._transport is not None and not self._transport.is_closing()

    @property
    def tls(self) -> TlsFilter | None:
        return self._tls

    async def shake_hands(self) -> None:
        """Do the TLS handshake. Raises UpstreamError; the connection is then closed, as it is when cancelled."""
        if self._tls is None:
            return
        if self._state is not State.OPENING:
            raise unreachable(FaultCode.TLS)  # It ended before it began.
        self._handshake = self._loop.create_future()
        try:
            self._continue_handshake(memoryview(b""))
            await self._handshake
        except BaseException:
            self.abort()
            raise
        finally:
            self._handshake = None

    def send(self, request: bytes, method: str) -> asyncio.Future[Exchange]:
        """Write a request. The future holds its answer's head, or an UpstreamError; then the connection is closed.

        Only while `is_idle`. Whoever stops waiting must abort.
        """
        assert self._state is State.IDLE and self._transport is not None
        waiter: asyncio.Future[Exchange] = self._loop.create_future()
        self._state = State.WAITING
        self._waiter = waiter
        self._reader = AnswerReader(method)
        self.has_answered = False
        self._sent_at = self._loop.time()
        try:
            self._transport.write(request if self._tls is None else self._tls.encrypt(request))
        except ssl.SSLError:
            self._fail(unreachable(FaultCode.TLS))
        return waiter

    def headers_late(self) -> None:
        """The head did not come in time."""
        if self._state is State.WAITING:
            self._fail(headers_timeout())

    def close(self) -> None:
        """Close in good order: nobody waits for anything."""
        transport = self._transport
        if transport is None or self._state is State.CLOSED:
            return
        if transport.get_write_buffer_size():
            self.abort()
            return
        if self._tls is not None and not transport.is_closing():
            transport.write(self._tls.close_notify())
            if transport.get_write_buffer_size():
                self._loop.call_later(CLOSE_S, transport.abort)
        self._let_go()
        transport.close()

    def abort(self) -> None:
        """Close the socket at once. Nobody is told; idempotent."""
        if self._state is State.CLOSED:
            return
        transport = self._transport
        is_busy = self._state in (State.WAITING, State.ANSWERING)
        self._let_go()
        if transport is not None:
            if is_busy:
                _hang_up(transport)
            transport.abort()

    def shut(self, error: UpstreamError) -> None:
        """Close the socket at once; whoever waits gets `error`."""
        if self._state is not State.CLOSED:
            self._fail(error)

    # --- for the exchange

    @property
    def is_complete(self) -> bool:
        return self._reader is not None and self._reader.is_done

    def pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def unread_bytes(self) -> int:
        """What the kernel has received and nobody has read (FIONREAD); 0 where it does not tell."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None:
            return 0
        try:
            answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, struct.pack("i", 0))
        except OSError:
            return 0
        return int(struct.unpack("i", answer)[0])

    def drain(self, timeout_s: float) -> None:
        """Let the message end unseen, for `timeout_s` at most."""
        if self._state is not State.ANSWERING:
            return
        self._exchange = None
        self._state = State.DRAINING
        self._drained_bytes = 0
        self._drain_timer = self._loop.call_later(timeout_s, self.abort)
        self.resume()

    # --- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # Of a stream socket; uvloop's has another base class.
        if self._tls is None:
            self._state = State.IDLE
        self._owner.socket_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffers.read

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffers.read[:nbytes]
        tls = self._tls
        if tls is None:
            self._received(data)
        elif self._state is State.OPENING:
            self._continue_handshake(data)
        else:
            self._decrypt(tls, data)

    def eof_received(self) -> None:
        """The peer ended its stream. Without close_notify that is no orderly end of a TLS stream."""
        self._ended(is_clean=self._tls is None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is not State.CLOSED:
            if exc is None:
                self._ended(is_clean=False)
            else:
                self._fail(self._broken_by(FaultCode.RESET))
        self._owner.socket_closed(self)

    # --- bytes

    def _continue_handshake(self, data: memoryview) -> None:
        tls, transport = self._tls, self._transport
        if tls is None or transport is None:
            return
        failure: UpstreamError | None = None
        try:
            tls.handshake(data)
        except UpstreamError as error:
            failure = error
        if tls.has_outgoing:
            transport.write(tls.outgoing())
        if failure is not None:
            self._fail(failure)
        elif tls.is_ready:
            self._state = State.IDLE
            if self._handshake is not None and not self._handshake.done():
                self._handshake.set_result(None)

    def _decrypt(self, tls: TlsFilter, data: memoryview) -> None:
        try:
            plain = tls.decrypt(data)
        except ssl.SSLError:
            self._fail(self._broken_by(FaultCode.TLS))
            return
        if tls.has_outgoing and self._transport is not None:
            self._transport.write(tls.outgoing())
        if len(plain):
            self._received(plain)
        if tls.is_closed:
            self._ended(is_clean=True)

    def _received(self, data: memoryview) -> None:
        reader = self._reader
        if reader is None:
            self.close()
            return
        failure: UpstreamError | None = None
        try:
            reader.feed(data)
        except UpstreamError as error:
            failure = error
        if self._waiter is not None:
            self.has_answered = True
            if reader.head is not None:
                self._head_arrived(self._waiter, reader.head)
                reader.head = None  # The exchange has it.
        pieces = reader.pieces
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if self._exchange is not None:
                self._exchange.push(body)
            else:
                self._drop(body)
        # The receiver may have aborted; then these find nothing left to do.
        if failure is not None:
            self._fail(failure)
        elif reader.is_done:
            self._complete(reader)

    def _head_arrived(self, waiter: asyncio.Future[Exchange], head: AnswerHead) -> None:
        if waiter.done():  # Cancelled, and the one who waited has not run since.
            self.abort()
            return
        connect, self.connect = self.connect, None
        headers_s = self._loop.time() - self._sent_at
        self._exchange = Exchange(self, head, connect=connect, headers_s=headers_s, peer=self.peer)
        self._state = State.ANSWERING
        self._waiter = None
        self.keep_alive_s = keep_alive_seconds(head.headers.get("keep-alive", ""))
        waiter.set_result(self._exchange)

    def _drop(self, body: bytes) -> None:
        self._drained_bytes += len(body)
        if self._drained_bytes > MAX_DRAINED_BYTES:
            self.abort()

    # --- ends

    def _complete(self, reader: AnswerReader) -> None:
        """The message is complete: keep the connection if it can be kept, then tell the exchange."""
        exchange = self._exchange
        transport = self._transport
        is_reusable = (
            reader.can_keep_alive
            and self.keep_alive_s != 0
            and transport is not None
            and not transport.is_closing()
            # An answer that came before the whole request was written leaves the peer in the middle of it.
            and not transport.get_write_buffer_size()
            and not (self._tls is not None and self._tls.is_closed)
        )
        if is_reusable:
            self.resume()
            self._forget_exchange()
            self._state = State.IDLE
            self.idle_since = self._loop.time()
            self._owner.connection_idle(self)
        else:
            self.close()
        if exchange is not None:
            exchange.finish()

    def _ended(self, *, is_clean: bool) -> None:
        """The peer's stream is over."""
        if self._state is State.OPENING:
            self._fail(unreachable(FaultCode.TLS))
            return
        reader = self._reader
        if reader is None:
            self.close()
            return
        try:
            reader.finish(is_clean=is_clean)
        except UpstreamError as error:
            self._fail(error)
        else:
            self._complete(reader)

    def _fail(self, error: UpstreamError) -> None:
        """Close the socket, then tell whoever waits."""
        handshake, waiter, exchange = self._handshake, self._waiter, self._exchange
        self.abort()
        if handshake is not None and not handshake.done():
            handshake.set_exception(error)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if exchange is not None:
            exchange.fail(error)

    def _broken_by(self, code: FaultCode) -> UpstreamError:
        if self._state is State.OPENING:
            return unreachable(FaultCode.TLS)
        return cut(code) if self._state is State.ANSWERING else unreachable(code)

    def _let_go(self) -> None:
        self._state = State.CLOSED
        self._forget_exchange()
        self._transport = None
        self._owner.connection_closed(self)

    def _forget_exchange(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._exchange = None
        self._waiter = None
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None


def _hang_up(transport: asyncio.Transport) -> None:
    """Tell the peer now. An aborted transport closes its socket a turn later, and when many callers leave at once the
    clean-up of all their calls comes before the last one of these."""
    sock = transport.get_extra_info("socket")
    try:
        if sock is not None:
            # A descriptor of our own: uvloop's transports lend no socket that can be shut down.
            with socket.socket(fileno=os.dup(sock.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # It is closed already.
