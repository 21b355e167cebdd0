"""What workers and the admin process tell each other, over a Unix socket that nobody else can open.

    worker -> admin   Hello                       "this connection is a worker's"
    admin  -> worker  Want                        once a second, and for each scrape
    worker -> admin   Family ... Done             its metrics, in slices
    admin  -> worker  Question -> Found ...       for each look at the calls in progress, or order to end one
    worker -> admin   Ask -> Answer, Piece ...    on another connection: an admin route of the worker's own port
    worker -> admin   Question -> Found ...       likewise: a look or an order there

A frame is a length of four bytes and a message. The kernel closes a dead worker's connection: that is how its gauges go
and its counters stay. A worker that ends in order gives its last values first.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

import msgspec
from prometheus_client import CollectorRegistry

from proxy.live import KillResult, LiveSource, Look
from proxy.metrics_process import ProcessMetrics
from proxy.metrics_sum import Family, Totals, format_of, in_slices, take, write
from proxy.worker_calls import CallsOfWorkers, Found, Question, answers

_LOG = logging.getLogger("proxy.workers")

SHARED_PATHS = ("/metrics", "/healthz", "/livez", "/readyz")
"""What is answered for all workers together."""

POLL_S = 1.0
"""How old a worker's numbers are at most, and so what a killed one takes with it."""
ANSWER_S = 2.0
"""How long a scrape waits for a worker."""
STUCK_S = 15.0
"""A worker that gave no numbers for so long counts as stuck."""
RECONNECT_S = 0.2
OWN_NUMBER = 0
"""The admin process among those that are added up; workers count from 1."""
MAX_FRAME_BYTES = 64 * 1024 * 1024


class Hello(msgspec.Struct, tag=True):
    """A worker's first message."""

    pid: int


class Want(msgspec.Struct, tag=True):
    """Send your numbers."""


class Part(msgspec.Struct, tag=True):
    """Some of the numbers."""

    family: Family


class Done(msgspec.Struct, tag=True):
    """That was all."""

    is_draining: bool


class Ask(msgspec.Struct, tag=True):
    """An admin route."""

    path: str
    accept: str


class Answer(msgspec.Struct, tag=True):
    """What the route answers. Its body comes in so many pieces."""

    status: int
    content_type: str
    pieces: int


class Piece(msgspec.Struct, tag=True):
    """Some of a body: a whole one would keep the loop for longer than a stream may wait."""

    data: bytes


class Answered(NamedTuple):
    """An admin route's answer."""

    status: int
    content_type: str
    pieces: list[bytes]


Message = Hello | Want | Part | Done | Ask | Answer | Piece | Question | Found

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    data = _ENCODER.encode(message)
    writer.write(len(data).to_bytes(4, "big") + data)


async def _receive_answer(reader: asyncio.StreamReader) -> Answered | None:
    """The answer to an `Ask`; `None` when something else came. Raises EOFError when it breaks off."""
    head = await _receive(reader)
    if not isinstance(head, Answer):
        return None
    pieces: list[bytes] = []
    for _ in range(head.pieces):
        piece = await _receive(reader)
        if not isinstance(piece, Piece):
            return None
        pieces.append(piece.data)
    return Answered(head.status, head.content_type, pieces)


async def _receive(reader: asyncio.StreamReader) -> Message:
    """The next message. Raises EOFError at the connection's end."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > MAX_FRAME_BYTES:
        raise EOFError
    return _DECODER.decode(await reader.readexactly(length))


class Worker:
    """The worker's end; for the routes of its own port a `live.LiveSource` of all workers. `close` gives the last numbers."""

    def __init__(
        self,
        path: str,
        families: Callable[[], Awaitable[Iterable[Family]]],
        is_draining: Callable[[], bool],
        calls: LiveSource,
    ) -> None:
        """`families`: the present values, in parts. `calls`: this worker's."""
        self._path = path
        self._families = families
        self._is_draining = is_draining
        self._calls = calls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._sending = asyncio.Lock()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ask(self, path: str, accept: str) -> Answered | None:
        """An admin route's answer for all workers; `None` when the admin process does not give one."""
        try:
            async with asyncio.timeout(2 * ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    _send(writer, Ask(path, accept))
                    return await _receive_answer(reader)
                finally:
                    writer.close()
        except (OSError, EOFError):
            return None

    async def look(self, stream_id: str | None) -> Look | None:
        """See `LiveSource`."""
        found = await self._question(Question(0, stream_id, is_order=False))
        if found is None:
            return None
        return Look(found[-1].is_draining, [stream for part in found for stream in part.streams])

    async def kill(self, stream_id: str) -> KillResult | None:
        """See `LiveSource`."""
        found = await self._question(Question(0, stream_id, is_order=True))
        return None if found is None else found[-1].result

    async def _question(self, question: Question) -> list[Found] | None:
        """The whole answer for all workers; `None` when the admin process does not give one."""
        parts: list[Found] = []
        try:
            async with asyncio.timeout(2 * ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    _send(writer, question)
                    while not (parts and parts[-1].is_last):
                        message = await _receive(reader)
                        if not isinstance(message, Found):
                            return None
                        parts.append(message)
                finally:
                    writer.close()
        except (OSError, EOFError):
            return None
        return parts

    async def close(self) -> None:
        """Give the last numbers and hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._streams is None:
            return
        reader, writer = self._streams
        self._streams = None
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._give(writer)
                writer.write_eof()
                # To close while a question waits unread would break the connection, and with it what was just given.
                while await reader.read(4096):
                    pass
        writer.close()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, writer = self._streams = await asyncio.open_unix_connection(self._path)
                _send(writer, Hello(os.getpid()))
                while isinstance(message := await _receive(reader), Want | Question):
                    if isinstance(message, Want):
                        await self._give(writer)
                    else:
                        await _answer_question(message, self._calls, writer)
            if self._streams is not None:
                self._streams[1].close()
                self._streams = None
            # The admin process is starting, or is being replaced.
            await asyncio.sleep(RECONNECT_S)

    async def _give(self, writer: asyncio.StreamWriter) -> None:
        async with self._sending:
            for family in await self._families():
                _send(writer, Part(family))
                await asyncio.sleep(0)
            _send(writer, Done(self._is_draining()))


class _Member:
    """A worker, as the admin process knows it."""

    def __init__(self, number: int, writer: asyncio.StreamWriter, now: float) -> None:
        self.number = number
        self.writer = writer
        self.seen_at = now
        self.is_draining = False
        self.has_answered = False
        self.answered = asyncio.Event()


class Collector:
    """The admin process's end: asks all workers, and answers the admin routes for all of them."""

    def __init__(self) -> None:
        self.is_draining = False
        self._totals = Totals()
        self._process = ProcessMetrics(CollectorRegistry(), "admin")
        self._members: dict[int, _Member] = {}
        self._count = 0
        self._ends = 0
        self._loop = asyncio.get_running_loop()
        self._collecting: asyncio.Task[None] | None = None
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._poll: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self.calls = CallsOfWorkers(self._ways_to_ask, lambda: self.is_draining, ANSWER_S)
        """The calls of all workers."""

    async def start(self, path: str) -> None:
        """Listen at `path`, in place of one that is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._server = await asyncio.start_unix_server(self._accept, path)
        self._poll = self._loop.create_task(self._keep_asking())

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        tasks = [task for task in (self._poll, self._collecting) if task is not None]
        for task in tasks:
            task.cancel()
        for writer in self._handlers.values():
            writer.close()
        # A handler ends with its connection: one that is cancelled would be logged as a fault by asyncio's streams.
        await asyncio.gather(*tasks, *self._handlers, return_exceptions=True)

    async def answer(self, path: str, accept: str) -> Answered:
        """One of the admin routes; 404 for one that each worker answers for itself."""
        if path not in SHARED_PATHS:
            return _text(404, "not answered for all workers")
        if path == "/metrics":
            await self.collect()
            how = format_of(accept)
            families = [*await in_slices(self._totals.sum()), *self._own()]
            return Answered(200, how.value, await in_slices(write(families, how)))
        if path == "/readyz":
            if self.is_draining or any(member.is_draining for member in self._members.values()):
                return _text(503, "draining")
            is_ready = any(member.has_answered for member in self._members.values())
            return _text(200, "ready") if is_ready else _text(503, "no worker is ready")
        now = self._loop.time()
        is_alive = any(now - member.seen_at < STUCK_S for member in self._members.values())
        return _text(200, "ok") if is_alive or self.is_draining else _text(503, "no worker answers")

    async def collect(self) -> None:
        """Ask every worker now, or wait for the asking under way to end and share its answers."""
        if self._collecting is None or self._collecting.done():
            self._collecting = self._loop.create_task(self._collect())
        await asyncio.shield(self._collecting)

    async def _collect(self) -> None:
        members = list(self._members.values())
        for member in members:
            member.answered.clear()
            _send(member.writer, Want())
        # Here, where only one asks at a time: two scrapes could put an older value in the place of a newer one.
        await self._process.refresh()
        self._totals.update(OWN_NUMBER, await in_slices(take(self._process.instruments())))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for member in members:
                    await member.answered.wait()

    async def _keep_asking(self) -> None:
        while True:
            await self.collect()
            await asyncio.sleep(POLL_S)

    def _own(self) -> list[Family]:
        return [
            Family("llm_proxy_workers", "Worker processes that serve.", "gauge", {"": len(self._members)}),
            Family("llm_proxy_worker_exits", "Worker processes that ended.", "counter", {"_total": self._ends}),
        ]

    def _ways_to_ask(self) -> list[tuple[int, Callable[[Question], None]]]:
        return [(member.number, partial(_send, member.writer)) for member in self._members.values()]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers[task] = writer
        try:
            first = await _receive(reader)
            if isinstance(first, Hello):
                await self._follow(reader, writer)
            elif isinstance(first, Question):
                await _answer_question(first, self.calls, writer)
            elif isinstance(first, Ask):
                status, content_type, pieces = await self.answer(first.path, first.accept)
                _send(writer, Answer(status, content_type, len(pieces)))
                for piece in pieces:
                    _send(writer, Piece(piece))
                    await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            del self._handlers[task]
            writer.close()

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a worker's numbers until its connection ends."""
        self._count += 1
        member = self._members[self._count] = _Member(self._count, writer, self._loop.time())
        # At once: a worker that is new is not ready before it has answered.
        _send(writer, Want())
        parts: list[Family] = []
        try:
            while True:
                message = await _receive(reader)
                if isinstance(message, Part):
                    parts.append(message.family)
                elif isinstance(message, Found):
                    self.calls.found(message)
                elif isinstance(message, Done):
                    self._totals.update(member.number, parts)
                    parts = []
                    member.is_draining, member.has_answered = message.is_draining, True
                    member.seen_at = self._loop.time()
                    member.answered.set()
        finally:
            del self._members[member.number]
            self.calls.lost(member.number)
            member.answered.set()
            self._totals.end(member.number)
            self._ends += 1


async def _answer_question(question: Question, calls: LiveSource, writer: asyncio.StreamWriter) -> None:
    for part in await answers(question, calls):
        _send(writer, part)
        await writer.drain()
        await asyncio.sleep(0)


def _text(status: int, text: str) -> Answered:
    return Answered(status, "text/plain; charset=utf-8", [text.encode() + b"\n"])
