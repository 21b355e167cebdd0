"""How an answer of the simulated model reaches the caller: in pace, and with the fault that was asked for.

A stream is a row of places: `headers`, `first`, one before each token, `end`, `done`. At each place the delivery asks
whether the fault strikes here. Some faults end the stream, some go on for ever, some leave a mark and let it continue.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from random import Random

import msgspec
from aiohttp import ClientConnectionResetError, web

from proxy.demo.conversation import Delta, Kind
from proxy.demo.directives import Fault, Options, Place
from proxy.demo.fates import Fate, Fates, State
from proxy.demo.model import Plan
from proxy.demo.wire import Writer
from proxy.demo.writing import answer_tokens

FAULT_MESSAGE = "The simulated model failed, as it was told to."
GARBAGE = b'{"choices": [{"delta": {"content": not JSON'
FLOOD_CHARS = 16 * 1024

_TOKENS_BETWEEN_YIELDS = 8
"""Without a pace the event loop gets its turn this often: the proxy may live in the same one."""


class Pace(msgspec.Struct, frozen=True):
    """Tokens a second (0: no waiting) and seconds before the first."""

    rate: float
    delay_s: float

    def changed_by(self, options: Options) -> "Pace":
        """The same, but for what directives say."""
        rate = self.rate if options.rate is None else options.rate
        return Pace(rate, self.delay_s if options.delay is None else options.delay)


class Stats(msgspec.Struct):
    """What the server has done since it began: every started answer is live or has ended in one of the other three."""

    started: int = 0
    live: int = 0
    completed: int = 0
    failed: int = 0
    """Ended by a fault."""
    aborted: int = 0
    """The caller left."""
    tokens: int = 0
    """Sent in streams."""


class Struck(Exception):
    """A fault has ended the answer."""


class Delivery:
    """One answer on its way to one caller: what streams and whole answers have in common."""

    def __init__(
        self, request: web.Request, writer: Writer, plan: Plan, pace: Pace, stats: Stats, fates: Fates
    ) -> None:
        self.writer = writer
        self.plan = plan
        self.pace = pace
        self.stats = stats
        self.fate = fates.begin(plan.options.nonce) if plan.options.nonce is not None else Fate(0)
        self._fates = fates
        self.response = web.StreamResponse()
        self._request = request

    async def run(self, send: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        """Count the answer while `send` sends it. The caller's leaving cancels it."""
        stats = self.stats
        state = State.LEFT
        stats.started += 1
        stats.live += 1
        try:
            await send()
            stats.completed += 1
            state = State.COMPLETED
        except Struck:
            stats.failed += 1
            state = State.FAILED
        except ClientConnectionResetError:
            stats.aborted += 1
        except asyncio.CancelledError:
            stats.aborted += 1
            raise
        finally:
            stats.live -= 1
            self._fates.end(self.fate, state)
        return self.response

    async def open(self, content_type: str, length: int | None = None) -> None:
        """Send the status line and the headers, once. `None`: the body is chunked."""
        if self.response.prepared:
            return
        self.response.headers["content-type"] = content_type
        if length is not None:
            self.response.content_length = length
        await self.response.prepare(self._request)

    async def end_body(self) -> None:
        """End the answer here, so that HTTP says that it is whole. Raises Struck."""
        await self.open(self.writer.content_type)
        await self.response.write_eof()
        raise Struck

    def disconnect(self, is_reset: bool) -> None:
        """Close or reset the connection. Raises Struck."""
        transport = self._request.transport
        if transport is None:
            raise ClientConnectionResetError
        if is_reset:
            # Linger 0: the kernel sends RST instead of FIN. What it has not yet sent is lost, as in a real reset.
            connected: socket.socket = transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
        raise Struck


async def stall(seconds: float | None) -> None:
    """Wait; `None`: until the caller leaves."""
    if seconds is not None:
        await asyncio.sleep(seconds)
    else:
        await asyncio.get_running_loop().create_future()


class StreamDelivery:
    """Sends an answer as a stream."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._writer = delivery.writer
        self._plan = delivery.plan
        self._rate = delivery.pace.rate
        self._is_started = False
        """Whether the stream's first frame was written."""
        self._sent = 0
        self._began = 0.0
        self._due = 0.0
        """When the next token may leave."""
        options = delivery.plan.options
        self._has_stamps = options.stamps is not None
        self._padding = "x" * options.pad
        self._fault_at = _fault_at(delivery.plan)

    async def send(self) -> None:
        """Raises Struck when a fault ended the stream."""
        writer = self._writer
        await self._strike(Place.HEADERS)
        await asyncio.sleep(self._delivery.pace.delay_s)
        await self._delivery.open(writer.content_type)
        await self._strike(Place.FIRST)
        await self._start()
        for delta in self._plan.answer.deltas():
            await self._strike(self._sent)
            await self._send_delta(delta)
        await self._strike(Place.END)
        await self._write(writer.finish(with_reason=self._plan.fault is not Fault.NO_FINISH))
        await self._strike(Place.DONE)
        await self._write(writer.terminator())
        await self._delivery.response.write_eof()

    async def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._due = self._began = asyncio.get_running_loop().time()
            await self._write(self._writer.start())

    async def _send_delta(self, delta: Delta) -> None:
        if delta.kind is Kind.TEXT:
            if self._has_stamps:
                delta.text = f"{asyncio.get_running_loop().time() - self._began:.4f} "
            delta.text += self._padding
        await self._write(self._writer.delta(delta))
        self._sent += 1
        self._delivery.stats.tokens += 1
        self._delivery.fate.tokens += 1
        if self._rate > 0:
            self._due += 1 / self._rate
            await asyncio.sleep(self._due - asyncio.get_running_loop().time())
        elif self._sent % _TOKENS_BETWEEN_YIELDS == 0:
            await asyncio.sleep(0)

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        await self._delivery.open(self._writer.content_type)
        response = self._delivery.response
        if self._plan.fault is not Fault.DRIP:
            await response.write(data)
            self._delivery.fate.bytes += len(data)
            return
        for index in range(len(data)):
            await response.write(data[index : index + 1])
            await asyncio.sleep(self._plan.options.interval or 0)

    async def _strike(self, place: int | Place) -> None:
        """Let the fault happen if this is its place. Raises Struck when it ends the answer."""
        if self._fault_at != place:
            return
        writer, options = self._writer, self._plan.options
        match self._plan.fault:
            case Fault.ERROR:
                await self._write(writer.error(self._plan.fault_status, FAULT_MESSAGE))
                await self._delivery.end_body()
            case Fault.CUT:
                await self._delivery.end_body()
            case Fault.HALF:
                frame = writer.delta(Delta(Kind.TEXT, "half of this", False, False))
                await self._write(frame[: len(frame) // 2])
                await self._delivery.end_body()
            case Fault.FIN | Fault.RST as fault:
                self._delivery.disconnect(is_reset=fault is Fault.RST)
            case Fault.STALL:
                await self._stall(options)
            case Fault.PINGS | Fault.ENDLESS | Fault.FLOOD as fault:
                await self._go_on_forever(fault)
            case Fault.GARBAGE:
                await self._write(writer.frame(GARBAGE))
            case Fault.WRONG_TYPE:
                await self._write(writer.wrong_type())
            case Fault.HUGE:
                await self._start()
                await self._write(writer.delta(Delta(Kind.TEXT, "x" * options.size, False, False)))
            case _:
                pass

    async def _stall(self, options: Options) -> None:
        if options.interval is None:
            await stall(options.stall_s)
            return
        until = asyncio.get_running_loop().time() + (options.stall_s or float("inf"))
        while (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(options.interval, left))
            await self._write(self._writer.ping())

    async def _go_on_forever(self, fault: Fault) -> None:
        while fault is Fault.PINGS:
            await self._write(self._writer.ping())
            await asyncio.sleep(self._plan.options.interval or 1.0)
        await self._start()
        if fault is Fault.FLOOD:
            self._rate = 0
        for text in _endless_text(self._plan.answer.seed, fault):
            await self._send_delta(Delta(Kind.TEXT, text, False, False))


def _fault_at(plan: Plan) -> int | Place | None:
    """Where the fault strikes in this answer: half-way when nothing was said, at the end when the answer is shorter."""
    if plan.fault is None:
        return None
    answer = plan.answer
    tokens = answer.usage.output - (0 if answer.shows_reasoning else len(answer.reasoning))
    at = tokens // 2 if plan.fault_at is None else plan.fault_at
    return Place.END if isinstance(at, int) and at >= tokens else at


def _endless_text(seed: str, fault: Fault) -> Iterator[str]:
    while fault is Fault.FLOOD:
        yield "flood " * (FLOOD_CHARS // 6)
    yield from answer_tokens(Random(seed), "", None, 10**12)
