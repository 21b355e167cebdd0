"""What the resolver remembers, shares and refuses."""

import asyncio
import socket

import pytest

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import FaultCode
from proxy.upstream.resolve import FAILED_S, FRESH_S, STALE_S, Resolver, SocketAddress

GOOD = SocketAddress(socket.AF_INET, ("10.0.0.1", 443))
BAD = SocketAddress(socket.AF_INET, ("169.254.169.254", 443))
BAD_6 = SocketAddress(socket.AF_INET6, ("fd00:ec2::254", 443))


class Names:
    """A resolver of the operating system that says what it is told to, and counts."""

    def __init__(self) -> None:
        self.answer: list[SocketAddress] | OSError = [GOOD]
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def lookup(self, host: str, port: int) -> list[SocketAddress]:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


class Clock:
    """The running loop with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._loop = asyncio.get_running_loop()
        self.create_task = self._loop.create_task
        self.getaddrinfo = self._loop.getaddrinfo

    def time(self) -> float:
        return self.now


@pytest.fixture
async def names() -> Names:
    return Names()


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def resolver(clock: Clock, names: Names) -> Resolver:
    return Resolver(clock, names.lookup)  # type: ignore[arg-type]


async def code_of(resolver: Resolver, host: str = "a.test") -> str | None:
    with pytest.raises(UpstreamError) as caught:
        await resolver.resolve(host, 443)
    assert caught.value.kind is ErrorKind.UNREACHABLE
    return caught.value.code


async def test_an_answer_is_used_until_it_is_old(resolver: Resolver, names: Names, clock: Clock) -> None:
    assert await resolver.resolve("a.test", 443) == [GOOD]
    clock.now += FRESH_S - 0.1
    assert await resolver.resolve("a.test", 443) == [GOOD]
    assert names.asked == 1

    clock.now += 0.2
    await resolver.resolve("a.test", 443)
    assert names.asked == 2


async def test_questions_at_the_same_time_are_one(resolver: Resolver, names: Names) -> None:
    names.gate.clear()
    tasks = [asyncio.get_running_loop().create_task(resolver.resolve("a.test", 443)) for _ in range(5)]
    await asyncio.sleep(0)

    tasks[0].cancel()
    await asyncio.sleep(0)
    names.gate.set()

    assert await asyncio.gather(*tasks[1:]) == [[GOOD]] * 4
    assert tasks[0].cancelled()
    assert names.asked == 1


async def test_a_failure_is_remembered_for_a_moment(resolver: Resolver, names: Names, clock: Clock) -> None:
    names.answer = socket.gaierror(socket.EAI_NONAME, "secret")
    assert await code_of(resolver) == FaultCode.DNS
    names.answer = [GOOD]
    assert await code_of(resolver) == FaultCode.DNS
    assert names.asked == 1

    clock.now += FAILED_S + 0.1
    assert await resolver.resolve("a.test", 443) == [GOOD]


async def test_an_old_answer_serves_while_the_resolver_fails(resolver: Resolver, names: Names, clock: Clock) -> None:
    await resolver.resolve("a.test", 443)
    names.answer = socket.gaierror(socket.EAI_AGAIN, "secret")
    clock.now += FRESH_S + 0.1

    assert await resolver.resolve("a.test", 443) == [GOOD]
    assert await resolver.resolve("a.test", 443) == [GOOD]
    assert names.asked == 2  # It is not asked again at once.

    clock.now += STALE_S
    assert await code_of(resolver) == FaultCode.DNS


async def test_forbidden_addresses_are_left_out(resolver: Resolver, names: Names) -> None:
    names.answer = [BAD, GOOD, BAD_6]

    assert await resolver.resolve("a.test", 443) == [GOOD]


@pytest.mark.parametrize("answer", [[BAD], [BAD, BAD_6]])
async def test_a_name_with_only_forbidden_addresses_is_refused(
    answer: list[SocketAddress], resolver: Resolver, names: Names
) -> None:
    names.answer = answer  # type: ignore[assignment]

    assert await code_of(resolver) == FaultCode.FORBIDDEN


async def test_literals_are_not_asked_for(resolver: Resolver, names: Names) -> None:
    assert await resolver.resolve("127.0.0.1", 1) == [SocketAddress(socket.AF_INET, ("127.0.0.1", 1))]
    assert await resolver.resolve("::1", 1) == [SocketAddress(socket.AF_INET6, ("::1", 1))]
    assert await code_of(resolver, "169.254.169.254") == FaultCode.FORBIDDEN
    assert names.asked == 0


async def test_an_empty_answer_is_no_address(resolver: Resolver, names: Names) -> None:
    names.answer = []

    assert await code_of(resolver) == FaultCode.DNS


async def test_the_systems_resolver_knows_localhost_and_no_invalid_name() -> None:
    resolver = Resolver(asyncio.get_running_loop())

    addresses = await resolver.resolve("localhost", 80)

    assert {each.address[0] for each in addresses} <= {"127.0.0.1", "::1"} and addresses
    assert await code_of(resolver, "name.invalid") == FaultCode.DNS


async def test_closing_gives_up_what_is_asked(resolver: Resolver, names: Names) -> None:
    names.gate.clear()
    task = asyncio.get_running_loop().create_task(resolver.resolve("a.test", 443))
    await asyncio.sleep(0)

    resolver.close()

    with pytest.raises(UpstreamError) as caught:
        await task
    assert caught.value.code == FaultCode.POOL_CLOSED


async def test_cancelling_while_it_closes_is_still_cancelling(resolver: Resolver, names: Names) -> None:
    names.gate.clear()
    task = asyncio.get_running_loop().create_task(resolver.resolve("a.test", 443))
    await asyncio.sleep(0)

    resolver.close()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
