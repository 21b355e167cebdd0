"""The calls of all workers, as the admin process sees them: it asks each one, over the link that they have anyway.

    admin  -> worker  Question                    for each look and each order (`worker_link`)
    worker -> admin   Found ...                   its calls, ready to be sent on, or what became of the order

A worker that dies takes its calls with it: whatever it was asked counts as answered with nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from proxy.live import KillResult, LiveSource, Look

PART_STREAMS = 200
"""Calls in one message: what is encoded and decoded in one step."""


class Question(msgspec.Struct, tag=True):
    """A look at all calls or at one, or the order to end one."""

    number: int
    stream_id: str | None
    is_order: bool


class Found(msgspec.Struct, tag=True):
    """A part of the answer to question `number`."""

    number: int
    is_last: bool
    is_draining: bool = False
    streams: list[bytes] = []
    result: KillResult | None = None
    """What became of an order; `None`: nobody knows."""


async def answers(question: Question, calls: LiveSource) -> list[Found]:
    """The whole answer to `question` by whoever has `calls`."""
    if question.is_order:
        assert question.stream_id is not None
        return [Found(question.number, is_last=True, result=await calls.kill(question.stream_id))]
    look = await calls.look(question.stream_id) or Look(is_draining=False, streams=[])
    parts = list(_parts(look.streams))
    return [
        Found(question.number, is_last=place == len(parts), is_draining=look.is_draining, streams=part)
        for place, part in enumerate(parts, 1)
    ]


def _parts(streams: list[bytes]) -> Iterator[list[bytes]]:
    """At least one."""
    for start in range(0, max(len(streams), 1), PART_STREAMS):
        yield streams[start : start + PART_STREAMS]


class _Asked:
    """One question to one worker."""

    def __init__(self, member: int) -> None:
        self.member = member
        self.look = Look(is_draining=False, streams=[])
        self.result: KillResult | None = None
        self.answered = asyncio.Event()


class CallsOfWorkers:
    """Implements `live.LiveSource` for all members together."""

    def __init__(
        self,
        members: Callable[[], Sequence[tuple[int, Callable[[Question], None]]]],
        is_draining: Callable[[], bool],
        patience_s: float,
    ) -> None:
        """`members`: the present ones by number, each with the way to ask it."""
        self._members = members
        self._is_draining = is_draining
        self._patience_s = patience_s
        self._count = 0
        self._pending: dict[int, _Asked] = {}

    async def look(self, stream_id: str | None) -> Look:
        """All calls of those workers that answer in time."""
        asked = await self._ask(stream_id, is_order=False)
        told = [one.look for one in asked if one.answered.is_set()]
        is_draining = self._is_draining() or any(look.is_draining for look in told)
        return Look(is_draining, [stream for look in told for stream in look.streams])

    async def kill(self, stream_id: str) -> KillResult | None:
        """End the call, whoever has it. `None`: nobody who answered in time has it."""
        asked = await self._ask(stream_id, is_order=True)
        results = {one.result for one in asked}
        for result in (KillResult.KILLED, KillResult.OVER):
            if result in results:
                return result
        return KillResult.UNKNOWN if all(one.answered.is_set() for one in asked) else None

    async def _ask(self, stream_id: str | None, *, is_order: bool) -> list[_Asked]:
        """Ask all members at once, and wait for them."""
        mine: dict[int, _Asked] = {}
        for member, ask in self._members():
            self._count += 1
            mine[self._count] = self._pending[self._count] = _Asked(member)
            ask(Question(self._count, stream_id, is_order))
        try:
            # Whoever does not answer in time is left out.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    for one in mine.values():
                        await one.answered.wait()
        finally:
            for number in mine:
                del self._pending[number]
        return list(mine.values())

    # --- what the members say

    def found(self, message: Found) -> None:
        """A part of an answer; one that came too late is dropped."""
        asked = self._pending.get(message.number)
        if asked is None:
            return
        asked.look.streams += message.streams
        asked.look.is_draining = message.is_draining
        asked.result = message.result
        if message.is_last:
            asked.answered.set()

    def lost(self, member: int) -> None:
        """A worker is gone, and its calls with it."""
        for asked in self._pending.values():
            if asked.member == member and not asked.answered.is_set():
                asked.look.streams.clear()
                asked.answered.set()
