"""Host names to addresses, with a short memory, and never to an address that no upstream may have."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from proxy.upstream.addresses import is_forbidden, literal_address
from proxy.upstream.faults import FaultCode, code_of, pool_closed, unreachable

FRESH_S = 10.0
"""How long an answer is used without asking again; aiohttp's default."""
FAILED_S = 1.0
"""How long a failure is remembered, so that a burst of requests does not become a burst of questions."""
STALE_S = 300.0
"""How long an old answer serves while the resolver fails."""


class SocketAddress(NamedTuple):
    """One way to connect, as `getaddrinfo` gives it."""

    family: int
    address: tuple[str, int]


Lookup = Callable[[str, int], Awaitable[list[SocketAddress]]]
"""Asks the operating system; raises OSError."""


class _Answer(NamedTuple):
    addresses: list[SocketAddress]
    failure: FaultCode | None
    resolved_at: float
    valid_until: float


class Resolver:
    """Resolves for one event loop. Questions for the same host share one look-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lookup: Lookup | None = None) -> None:
        self._loop = loop
        self._lookup = lookup if lookup is not None else self._ask_system
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[_Answer]] = {}

    async def resolve(self, host: str, port: int) -> list[SocketAddress]:
        """Addresses to try, in the resolver's order, at least one. Raises UpstreamError `dns` or `forbidden`.

        Cancelling stops the waiting; the look-up itself cannot be stopped and serves the next question.
        """
        literal = literal_address(host)
        if literal is not None:
            family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            return _allowed([SocketAddress(family, (str(literal), port))])
        key = (host, port)
        answer = self._answers.get(key)
        if answer is None or self._loop.time() > answer.valid_until:
            task = self._pending.get(key)
            if task is None:
                task = self._pending[key] = self._loop.create_task(self._ask(key))
            answer = await _shared(task)
        if answer.failure is not None:
            raise unreachable(answer.failure)
        return _allowed(answer.addresses)

    def close(self) -> None:
        """Give up what is being looked up: whoever waits gets the pool's UpstreamError."""
        for task in self._pending.values():
            task.cancel()

    async def _ask(self, key: tuple[str, int]) -> _Answer:
        now = self._loop.time()
        try:
            answer = _Answer(await self._lookup(*key), None, now, now + FRESH_S)
        except OSError as error:
            old = self._answers.get(key)
            if old is not None and old.failure is None and now - old.resolved_at < STALE_S:
                answer = old._replace(valid_until=now + FAILED_S)
            else:
                answer = _Answer([], code_of(error), now, now + FAILED_S)
        finally:
            del self._pending[key]
        self._answers[key] = answer
        return answer

    async def _ask_system(self, host: str, port: int) -> list[SocketAddress]:
        infos = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # An IPv6 address has a flow label and a scope as well; only link-local ones need them, and those are refused.
        return [SocketAddress(info[0], (str(info[4][0]), port)) for info in infos]


async def _shared(task: asyncio.Task[_Answer]) -> _Answer:
    """What `task` gives; cancelling the one who waits leaves it to the others."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if task.cancelled() and waiting is not None and not waiting.cancelling():
            raise pool_closed() from None
        raise


def _allowed(addresses: list[SocketAddress]) -> list[SocketAddress]:
    allowed: list[SocketAddress] = []
    for each in addresses:
        literal = literal_address(each.address[0])
        if literal is not None and not is_forbidden(literal):
            allowed.append(each)
    if not allowed:
        raise unreachable(FaultCode.FORBIDDEN if addresses else FaultCode.DNS)
    return allowed
