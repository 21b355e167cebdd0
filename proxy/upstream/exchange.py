"""One request and its answer, as the caller of the pool holds it: the head, and the body pushed as it arrives.

    send() ... WAITING --start(receiver)--> PUSHING --+--> OVER   body_ended, body_failed or abort(), whichever is first
               (holds what arrives with the head, then pauses)

The connection pushes into the exchange; the exchange never keeps bytes once a receiver is there. It refers to the
connection only as long as the message lasts, so that nothing done here can touch the connection's next exchange.
"""

import asyncio
from typing import Protocol

import msgspec

from proxy.hub.errors import UpstreamError
from proxy.upstream.answer import AnswerHead
from proxy.upstream.faults import FaultCode, cut, protocol
from proxy.upstream.inflate import BodyDecoder, body_decoder

DRAIN_S = 1.0
"""How long the end of a message is awaited after its last interesting byte, so that the connection can be reused."""
OF_ENCODED_BODY = frozenset({"content-encoding", "content-length"})
"""Headers that do not describe the decoded body."""


class BodyReceiver(Protocol):
    """Takes a body. Exactly one of `body_ended` and `body_failed` is called, and nothing after it, nor after abort."""

    def body_received(self, data: bytes) -> None:
        """Everything that one read of the socket gave; never empty."""
        ...

    def body_ended(self) -> None:
        """The HTTP message is complete."""
        ...

    def body_failed(self, error: UpstreamError) -> None:
        """The body broke off, or is no valid HTTP; the connection is closed."""
        ...


class Control(Protocol):
    """The connection, as its exchange sees it."""

    @property
    def is_complete(self) -> bool:
        """Whether the message is read to its end, though the end is not told yet."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    def drain(self, timeout_s: float) -> None: ...

    def unread_bytes(self) -> int: ...


class ConnectTimings(msgspec.Struct, frozen=True):
    """How long a new connection took, in seconds. `tcp_s` includes the proxy's tunnel; `tls_s` is 0 without TLS."""

    dns_s: float
    tcp_s: float
    tls_s: float

    @property
    def total_s(self) -> float:
        return self.dns_s + self.tcp_s + self.tls_s


class Exchange:
    """An answer whose head is complete. Whoever gets one must `start`, `read_whole` or `abort` it."""

    __slots__ = (
        "_control",
        "_decoder",
        "_error",
        "_held",
        "_is_ended",
        "_is_paused",
        "_is_started",
        "_raw_headers",
        "_receiver",
        "connect",
        "headers",
        "headers_s",
        "http_version",
        "peer",
        "status",
    )

    def __init__(
        self, control: Control, head: AnswerHead, *, connect: ConnectTimings | None, headers_s: float, peer: str
    ) -> None:
        self.status = head.status
        self.http_version = head.http_version
        """`1.0` or `1.1`."""
        self.headers = head.headers
        """Lower-case names; repeated ones joined by `, `. They describe the body as it is pushed: of a compressed one,
        `content-encoding` and `content-length` are only in `raw_headers`."""
        self.connect = connect
        """`None` when a kept connection was used."""
        self.headers_s = headers_s
        """From the request's write to the complete head."""
        self.peer = peer
        """Address of the other end, for logs; never for callers."""
        self._raw_headers = head.raw_headers
        encoding = head.headers.get("content-encoding")
        self._decoder: BodyDecoder | None = None if encoding is None else body_decoder(encoding)
        if self._decoder is not None:
            self.headers = {name: value for name, value in head.headers.items() if name not in OF_ENCODED_BODY}
        self._control: Control | None = control
        self._receiver: BodyReceiver | None = None
        self._held: list[bytes] = []
        """Body that came before `start`: at most two reads."""
        self._error: UpstreamError | None = None
        self._is_started = False
        self._is_ended = False
        self._is_paused = False

    @property
    def reused(self) -> bool:
        """Whether the request went over a kept connection."""
        return self.connect is None

    @property
    def is_complete(self) -> bool:
        """Whether the message is read to its end, so that the receiver is told of it in this turn of the loop."""
        return self._is_ended or (self._control is not None and self._control.is_complete)

    @property
    def connect_s(self) -> float | None:
        """Seconds to resolve, connect and shake hands; `None` when a kept connection was used."""
        return None if self.connect is None else self.connect.total_s

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Every header line as it came, in order."""
        flat = self._raw_headers.split(b"\n") if self._raw_headers else []
        return [(name, value.strip()) for name, value in zip(flat[::2], flat[1::2], strict=True)]

    # --- for whoever asked

    def let_go_of_head(self) -> None:
        """Forget the headers: what is needed of them is taken, and the body can last for long."""
        self.headers = {}
        self._raw_headers = b""

    def start(self, receiver: BodyReceiver) -> None:
        """Push the body to `receiver`. What came with the head is pushed before this returns.

        Raises RuntimeError when started or aborted before.
        """
        if self._is_started:
            raise RuntimeError("an exchange is started once")
        self._is_started = True
        self._receiver = receiver
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self.push(held)
        if self._error is not None:
            self._finish_with(self._error)
        elif self._is_ended:
            self._finish_with(None)
        elif self._control is not None and not self._is_paused:
            self._control.resume()

    def pause(self) -> None:
        """Stop reading the socket, until `resume`. The end of a message that is already read still comes."""
        self._is_paused = True
        if self._control is not None:
            self._control.pause()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        if self._control is not None and self._is_started:
            self._control.resume()

    def unread_bytes(self) -> int:
        """Bytes that have come and were not pushed yet, as they travel: what the kernel holds, where it tells."""
        held = sum(map(len, self._held))
        return held if self._control is None else held + self._control.unread_bytes()

    def abort(self) -> None:
        """Close the socket at once; the receiver is not called any more. Does nothing after the end."""
        control, self._control = self._control, None
        receiver, self._receiver = self._receiver, None
        self._is_started = True
        self._held.clear()
        if control is not None:
            control.abort()
        if isinstance(receiver, WholeBody):
            receiver.body_failed(cut(FaultCode.ABORTED))

    def finish_in_background(self, timeout_s: float = DRAIN_S) -> None:
        """The receiver has all it wants and is not called any more: let the message end, for reuse, else close.

        Does nothing after the end. The pool owns what is left to do.
        """
        control, self._control = self._control, None
        self._receiver = None
        self._is_started = True
        self._held.clear()
        if control is not None:
            control.drain(timeout_s)

    async def read_whole(self, limit_bytes: int) -> bytes:
        """The whole body. Raises UpstreamError when it breaks off or is longer than `limit_bytes`.

        Has no deadline of its own. Cancelling it aborts.
        """
        whole = WholeBody(self, limit_bytes, asyncio.get_running_loop().create_future())
        self.start(whole)
        try:
            return await whole.body
        finally:
            self.abort()
            del whole  # Its future keeps the fault, whose traceback keeps this frame.

    # --- for the connection

    def push(self, data: bytes) -> None:
        """Body as it was read."""
        receiver = self._receiver
        if receiver is None:
            self._hold(data)
            return
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except UpstreamError as error:
                self._give_up(error)
                return
            if not data:
                return
        receiver.body_received(data)

    def finish(self) -> None:
        """The message is complete; the connection has already let go."""
        self._control = None
        self._is_ended = True
        if self._is_started:
            self._finish_with(None)

    def fail(self, error: UpstreamError) -> None:
        """The message will not be completed; the connection is closed."""
        self._control = None
        if self._is_started:
            self._finish_with(error)
        else:
            self._error = error

    def _hold(self, data: bytes) -> None:
        """Keeps what comes before `start`. The socket is paused only when it goes on sending: most often it does not."""
        self._held.append(data)
        if len(self._held) > 1 and self._control is not None:
            self._control.pause()

    def _finish_with(self, error: UpstreamError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if error is None and self._decoder is not None:
            try:
                self._decoder.finish()
            except UpstreamError as truncated:
                error = truncated
        if error is None:
            receiver.body_ended()
        else:
            receiver.body_failed(error)

    def _give_up(self, error: UpstreamError) -> None:
        control, self._control = self._control, None
        if control is not None:
            control.abort()
        self._finish_with(error)


class WholeBody:
    """Receives a body to hold it whole."""

    def __init__(self, exchange: Exchange, limit_bytes: int, body: asyncio.Future[bytes]) -> None:
        self.body = body
        self._exchange = exchange
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def body_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit_bytes:
            self.body_failed(protocol(FaultCode.TOO_LARGE))
            self._exchange.abort()
            return
        self._pieces.append(data)

    def body_ended(self) -> None:
        if not self.body.done():
            self.body.set_result(b"".join(self._pieces))

    def body_failed(self, error: UpstreamError) -> None:
        if not self.body.done():
            self.body.set_exception(error)
