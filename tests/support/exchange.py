"""What a scripted upstream saw of one request: its bytes, and how the peer took the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

PATIENCE_S = 30.0
"""How long a test waits for something that must happen."""


class Signal:
    """Wakes coroutines that wait for a condition. Firing is synchronous and costs nothing when nobody waits."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def fire(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], patience_s: float | None = PATIENCE_S) -> None:
        """Return once `condition` holds; it is looked at whenever the signal fires."""
        async with asyncio.timeout(patience_s):
            while not condition():
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter


@dataclass(frozen=True)
class Departure:
    """The peer's end of the connection, as the kernel reported it."""

    how: Literal["fin", "rst"]
    at: float
    """`time.monotonic()`"""


@dataclass
class Pause:
    """A stretch in which the peer took no bytes."""

    at_wire_byte: int
    began: float
    ended: float | None = None


@dataclass
class Exchange:
    """One request and what became of its answer."""

    method: str
    target: str
    headers: dict[str, str]
    """Lower-case names; of a repeated header the last value."""
    header_lines: list[tuple[str, str]]
    body: bytes
    connection: int
    """Which connection of the server it came on, from 0."""
    received_at: float
    sent: int = 0
    """Body bytes (before the chunked coding) that the kernel took."""
    wire_sent: int = 0
    """All bytes of the answer that the kernel took, headers and chunk sizes included."""
    pauses: list[Pause] = field(default_factory=list)
    departure: Departure | None = None
    """Set when the peer ended the connection, at any time after this request."""
    completed: bool = False
    """Every byte that the answer wanted to send was taken."""

    def __post_init__(self) -> None:
        self._signal = Signal()
        self._released = 0

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def release(self) -> None:
        """Let the answer go on past its next hold."""
        self._released += 1
        self.wake()

    async def released(self) -> bool:
        """Wait for the next `release()`; False when the peer left first."""
        await self.until(lambda: self._released > 0 or self.departure is not None, patience_s=None)
        if self._released == 0:
            return False
        self._released -= 1
        return True

    def wake(self) -> None:
        """Tell waiters that something about this exchange changed."""
        self._signal.fire()

    async def until(self, condition: Callable[[], bool], patience_s: float | None = PATIENCE_S) -> None:
        """Return once `condition` holds; it is looked at whenever this exchange changes."""
        await self._signal.until(condition, patience_s)

    async def until_left(self, patience_s: float = PATIENCE_S) -> Departure:
        """The peer's leaving."""
        await self.until(lambda: self.departure is not None, patience_s)
        assert self.departure is not None
        return self.departure

    async def until_sent(self, count: int) -> None:
        """Return once the kernel took `count` bytes of the body."""
        await self.until(lambda: self.sent >= count)

    async def until_blocked(self, quiet_s: float = 0.2) -> int:
        """Wire bytes taken when the peer had taken nothing more for `quiet_s`: what it and the kernels buffer."""
        while True:
            await self.until(lambda: bool(self.pauses) and self.pauses[-1].ended is None)
            taken = self.wire_sent
            await asyncio.sleep(quiet_s)
            if self.pauses[-1].ended is None and self.wire_sent == taken:
                return taken
