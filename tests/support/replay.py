"""A scripted upstream over raw sockets: it sends exactly the bytes a test asks for, and records what the peer does.

    async with ReplayServer(sse(body, pieces=one_byte)) as upstream:
        ... something calls upstream.base_url ...
    upstream.exchanges[0].json()["model"]

aiohttp's own server would hide what these tests are about: where one send ends, when the peer's FIN or RST came, and
how many bytes the peer's kernel was willing to take.
"""

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from tests.support.answers import BEFORE_HEADERS, Answer, BodyEnd, CutHow
from tests.support.exchange import PATIENCE_S, Departure, Exchange, Pause, Signal

Respond = Callable[[Exchange], Answer]

PHRASES = {status.value: status.phrase for status in HTTPStatus}


class ReplayServer:
    """Serves `answers` on a free loopback port: one for all requests, a sequence in order, or a function.

    `send_buffer_bytes` bounds what the kernel takes before the peer reads, for tests of backpressure. Faults inside
    the server itself are raised when the `async with` block ends.
    """

    def __init__(self, answers: Answer | Sequence[Answer] | Respond, send_buffer_bytes: int | None = None) -> None:
        self._respond = _responder(answers)
        self._send_buffer_bytes = send_buffer_bytes
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: list[socket.socket] = []
        self._faults: list[BaseException] = []
        self._arrived = Signal()
        self.exchanges: list[Exchange] = []
        self.port = 0

    @property
    def connections(self) -> int:
        """How many were accepted so far."""
        return len(self._accepted)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def respond_with(self, answers: Answer | Sequence[Answer] | Respond) -> None:
        """Answer otherwise from now on."""
        self._respond = _responder(answers)

    def answer_to(self, exchange: Exchange) -> Answer:
        return self._respond(exchange)

    async def exchange(self, index: int = 0) -> Exchange:
        """The request number `index`, once it has arrived whole."""
        await self._arrived.until(lambda: len(self.exchanges) > index)
        return self.exchanges[index]

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._arrived.fire()

    async def __aenter__(self) -> Self:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._send_buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        listener.setblocking(False)
        self._listener = listener
        self.port = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connected in self._accepted:
            connected.close()
        if self._faults and fault is None:
            raise self._faults[0]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.append(fault)

    def _accept(self, listener: socket.socket) -> None:
        """Take every connection that waits. Without an await, so that none is lost when the server stops."""
        while True:
            try:
                connected, _ = listener.accept()
            except BlockingIOError:
                return
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, connected, len(self._accepted))
            self._accepted.append(connected)
            self._start(connection.run())


def _responder(answers: Answer | Sequence[Answer] | Respond) -> Respond:
    if isinstance(answers, Answer):
        return lambda exchange: answers
    if callable(answers):
        return answers
    left = list(answers)
    return lambda exchange: left.pop(0)


class _Connection:
    """One accepted connection: a reader that notices the peer's end at any time, and one answer after the other."""

    def __init__(self, server: ReplayServer, connected: socket.socket, number: int) -> None:
        self._server = server
        self._socket = connected
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._left: asyncio.Future[Departure] = self._loop.create_future()
        self._fresh = asyncio.Event()
        self._exchanges: list[Exchange] = []

    async def run(self) -> None:
        reader = self._loop.create_task(self._read())
        try:
            while (exchange := await self._next_request()) is not None:
                self._exchanges.append(exchange)
                self._server.record(exchange)
                if not await self._answer(exchange, self._server.answer_to(exchange)):
                    break
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            self._socket.close()

    async def _read(self) -> None:
        try:
            while data := await self._loop.sock_recv(self._socket, 65536):
                self._received += data
                self._fresh.set()
            departure = Departure("fin", time.monotonic())
        except (ConnectionResetError, BrokenPipeError):
            departure = Departure("rst", time.monotonic())
        self._note(departure)

    def _note(self, departure: Departure) -> None:
        if self._left.done():
            return
        self._left.set_result(departure)
        for exchange in self._exchanges:
            exchange.departure = departure
            exchange.wake()
        self._fresh.set()

    # --- requests

    async def _until_received(self, condition: Callable[[], bool]) -> bool:
        """Whether `condition` came true before the peer left."""
        while not condition():
            if self._left.done():
                return False
            self._fresh.clear()
            await self._fresh.wait()
        return True

    async def _next_request(self) -> Exchange | None:
        if not await self._until_received(lambda: b"\r\n\r\n" in self._received):
            return None
        head, _, _ = bytes(self._received).partition(b"\r\n\r\n")
        del self._received[: len(head) + 4]
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        headers = dict(pairs)
        body = await self._request_body(headers)
        if body is None:
            return None
        return Exchange(method, target, headers, pairs, body, self._number, time.monotonic())

    async def _request_body(self, headers: dict[str, str]) -> bytes | None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunked_body()
        length = int(headers.get("content-length", "0"))
        return await self._take(length)

    async def _chunked_body(self) -> bytes | None:
        body = b""
        while await self._until_received(lambda: b"\r\n" in self._received):
            line, _, _ = bytes(self._received).partition(b"\r\n")
            del self._received[: len(line) + 2]
            size = int(line.split(b";")[0], 16)
            chunk = await self._take(size + 2)
            if chunk is None:
                return None
            if size == 0:
                return body
            body += chunk[:-2]
        return None

    async def _take(self, size: int) -> bytes | None:
        if not await self._until_received(lambda: len(self._received) >= size):
            return None
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    # --- answers

    async def _answer(self, exchange: Exchange, answer: Answer) -> bool:
        """Send it; whether the connection can carry another."""
        cut = answer.cut
        holds = list(answer.holds)
        if holds[:1] == [BEFORE_HEADERS] and not await self._hold(exchange, holds):
            return False
        if cut is not None and cut.at == BEFORE_HEADERS:
            await self._hang_up(cut.how)
            return False
        if not await self._send(exchange, _head(answer)):
            return False
        if exchange.method != "HEAD" and not await self._send_body(exchange, answer, holds):
            return False
        if cut is not None and cut.how is not CutHow.CLEAN:
            await self._hang_up(cut.how)
            return False
        if (
            answer.body_end is BodyEnd.CHUNKED
            and exchange.method != "HEAD"
            and not await self._send(exchange, b"0\r\n\r\n")
        ):
            return False
        exchange.completed = True
        exchange.wake()
        return answer.keep_alive and answer.body_end is not BodyEnd.CLOSE

    async def _send_body(self, exchange: Exchange, answer: Answer, holds: list[int]) -> bool:
        chunked = answer.body_end is BodyEnd.CHUNKED
        for segment in answer.segments():
            if holds and exchange.sent >= holds[0] and not await self._hold(exchange, holds):
                return False
            wire = b"%x\r\n%b\r\n" % (len(segment), segment) if chunked else segment
            if not await self._send(exchange, wire):
                return False
            exchange.sent += len(segment)
            exchange.wake()
            if answer.interval_s:
                await asyncio.wait({self._left}, timeout=answer.interval_s)
            else:
                # Once for the peer's transport to read, once for the coroutine that waits for it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        return not holds or await self._hold(exchange, holds)

    async def _hold(self, exchange: Exchange, holds: list[int]) -> bool:
        """Wait for the test; False when the peer left first."""
        holds.pop(0)
        return await exchange.released()

    async def _send(self, exchange: Exchange, data: bytes) -> bool:
        """Give all of `data` to the kernel; False when the peer left before that."""
        rest = memoryview(data)
        while rest:
            if self._left.done():
                return False
            try:
                count = self._socket.send(rest)
            except BlockingIOError:
                await self._until_writable(exchange)
                continue
            except (BrokenPipeError, ConnectionResetError):
                self._note(Departure("rst", time.monotonic()))
                return False
            exchange.wire_sent += count
            rest = rest[count:]
        return True

    async def _until_writable(self, exchange: Exchange) -> None:
        writable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._socket, _settle, writable)
        pause = Pause(exchange.wire_sent, time.monotonic())
        exchange.pauses.append(pause)
        exchange.wake()
        try:
            waited: list[asyncio.Future[Any]] = [writable, self._left]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._loop.remove_writer(self._socket)
            pause.ended = time.monotonic()

    async def _hang_up(self, how: CutHow) -> None:
        """Close, once the peer's kernel has all that was sent: an RST would take back what is still under way."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._left.done() and _unacknowledged(self._socket):  # noqa: ASYNC110  the kernel tells nobody
                await asyncio.sleep(0.001)
        if how is CutHow.RST:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self._socket.shutdown(socket.SHUT_WR)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _unacknowledged(connected: socket.socket) -> int:
    """Bytes given to the kernel that the peer's kernel has not confirmed (Linux SIOCOUTQ, which is TIOCOUTQ)."""
    (count,) = struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(count)


def _head(answer: Answer) -> bytes:
    phrase = PHRASES.get(answer.status, "Unnamed")
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in answer.headers)]
    cut = answer.cut
    match answer.body_end:
        case BodyEnd.CHUNKED:
            lines.append("transfer-encoding: chunked")
        case BodyEnd.LENGTH:
            short = cut is not None and cut.how is CutHow.CLEAN
            lines.append(f"content-length: {cut.at if cut is not None and short else len(answer.body)}")
        case BodyEnd.CLOSE:
            lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
