"""One caller's connection: aiohttp's own handler, with the deadlines and the hooks that streaming needs.

What is added to aiohttp here, and why:

* Flow control is passed on to the running stream, so that a full transport pauses the upstream, and an empty one
  resumes it, without a task in between.
* The caller's leaving reaches the running stream within the same turn of the loop. aiohttp cancels the handler's task
  as well (`handler_cancellation`), which is what ends a call that has no stream yet.
* A connection that does not complete its request head in time is answered 408 and closed; aiohttp has no such deadline.
* A caller that takes nothing of what is written to it loses its connection. Streams see to that themselves; of whole
  answers, errors and what a closing connection still holds only the kernel knows.
* What a caller still sends of a request that is answered is read for longer than aiohttp does, so that it sees the answer.
* The kernel's send buffer is capped: on loopback it would else take megabytes from a caller that reads nothing.
* Malformed requests get a JSON error that does not echo the caller's bytes.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from proxy.server.answers import SERVER_NAME, bare_error_body, json_answer
from proxy.server.body import REST_QUIET_S, REST_S, take_rest

WRITE_HIGH_BYTES = 32 * 1024
"""User-space bytes waiting for the caller at which the upstream is paused."""

PEER_GRACE_S = 30.0
"""How much later than `caller_stall_s` the kernel gives a silent caller up: the relay, which can say why, comes first."""

SEND_BUFFER_BYTES = 64 * 1024
"""SO_SNDBUF of accepted sockets; Linux doubles it for its own bookkeeping."""


class CallerWatcher(Protocol):
    """Who is told of the caller's flow control and leaving (`relay.Relay`)."""

    def caller_paused(self) -> None: ...

    def caller_resumed(self) -> None: ...

    def caller_left(self) -> None: ...


class CallerProtocol(RequestHandler):
    """aiohttp's request handler plus what the module's docstring lists."""

    __slots__ = ("_acknowledgement_s", "_caller_stall_s", "_head_timer", "header_timeout_s", "watcher")

    def __init__(
        self, manager: web.Server, *, header_timeout_s: float, caller_stall_s: float, **options: object
    ) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type]  # aiohttp's own options, given by the server
        self.header_timeout_s = header_timeout_s
        self.watcher: CallerWatcher | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._acknowledgement_s = 0.0
        self._caller_stall_s = caller_stall_s

    def expect_taking(self, caller_stall_s: float) -> None:
        """Let the kernel break the connection when the caller takes nothing for `caller_stall_s` and `PEER_GRACE_S`.

        Whether it is silent, or says all the time that it has no room (tcp(7), TCP_USER_TIMEOUT; Linux only).
        """
        within_s = caller_stall_s + PEER_GRACE_S
        if within_s == self._acknowledgement_s or self.transport is None:
            return
        self._acknowledgement_s = within_s
        sock = self.transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(within_s * 1000))

    async def drain_writes(self) -> None:
        """Wait until the caller has taken enough. Raises ConnectionError when it has left."""
        await self._drain_helper()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.expect_taking(self._caller_stall_s)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages or self._request_in_progress:
            self._stop_watching_head()
        elif data and self._head_timer is None and self._waiter is not None:
            # Someone waits for a request: these bytes begin one. Else they are the body of one that is about to be handled.
            self._watch_head()

    def eof_received(self) -> None:
        """A caller that half-closes in the middle of an answer counts as gone: nobody else tells us that it left."""
        if self._request_in_progress and self.transport is not None:
            self.transport.abort()
            # The connection's loss is told in the next turn; what comes from upstream in this one has nowhere to go.
            self._tell_left()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_watching_head()
        self._tell_left()
        # aiohttp keeps the fault with the request, and its traceback the frames of whoever wrote last.
        super().connection_lost(None if exc is None else exc.with_traceback(None))

    def _tell_left(self) -> None:
        watcher = self.watcher
        if watcher is not None:
            self.watcher = None
            watcher.caller_left()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.watcher is not None:
            self.watcher.caller_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.watcher is not None:
            self.watcher.caller_resumed()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Asked for with each piece of a body that is read. aiohttp then runs its parser on nothing and asks the
        transport to go on; mostly nobody has stopped it."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of the answer, then read what is left of the request; who was too slow with it has no time."""
        finished = await super().finish_response(request, resp, start_time)
        if not request.content.is_eof():
            is_late = resp.status == HTTPStatus.REQUEST_TIMEOUT
            await take_rest(request.content, REST_QUIET_S if is_late else REST_S)
        return finished

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP request, or to our own bug. Never echoes the caller's bytes."""
        if exc is not None and status >= 500:
            self.logger.error("unhandled fault in a request handler", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has begun; its connection must break.")
        response = json_answer(bare_error_body(status), status=status)
        response.force_close()
        return response

    def log_exception(self, *args: object, **options: object) -> None:
        """Log a fault outside of handlers. Not of a lost connection: what aiohttp still reads of it fails, as it must."""
        if self.transport is not None:
            super().log_exception(*args, **options)

    def _watch_head(self) -> None:
        self._head_timer = self._loop.call_later(self.header_timeout_s, self._head_is_late)

    def _stop_watching_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        transport = self.transport
        if transport is None or self._request_in_progress or self._messages:
            return
        body = bare_error_body(408)
        head = (
            f"HTTP/1.1 408 Request Timeout\r\nServer: {SERVER_NAME}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        self.force_close()
