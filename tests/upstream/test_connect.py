"""Reaching an upstream: several addresses, addresses that do not answer, proxies, and leaving in the middle of it."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import Endpoint, FaultCode, TlsSettings, UpstreamPool, parse_endpoint
from proxy.upstream.connect import connect_first, interleave
from proxy.upstream.connection import Connection
from proxy.upstream.resolve import SocketAddress
from proxy.upstream.tls import TlsFilter
from tests.support.ports import refusing_socket
from tests.upstream.cases import of_length
from tests.upstream.certificates import Authority, server_context
from tests.upstream.client import ask, until
from tests.upstream.raw_server import Peer, RawServer, Script, answering, keeping

ANSWER = of_length(b"hi")
NAMED = parse_endpoint("http://upstream.test")


def local(port: int) -> SocketAddress:
    return SocketAddress(socket.AF_INET, ("127.0.0.1", port))


def named(*addresses: SocketAddress) -> UpstreamPool:
    """A pool for which every name has these addresses."""

    async def lookup(host: str, port: int) -> list[SocketAddress]:
        return list(addresses)

    return UpstreamPool(lookup=lookup)


@pytest.fixture
def refusing() -> Iterator[SocketAddress]:
    """An address at which nobody listens."""
    with refusing_socket() as sock:
        yield local(sock.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[SocketAddress]:
    """An address whose host never answers: its queue of connections is full, and the kernel drops what else comes."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield local(listener.getsockname()[1])


async def fault(pool: UpstreamPool, endpoint: Endpoint, connect_timeout_s: float = 5.0) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(pool, endpoint, connect_timeout_s=connect_timeout_s)
    await until(lambda: (pool.open_count, pool.connecting_count) == (0, 0))
    assert "127.0" not in caught.value.message
    return caught.value


async def cancelled(pool: UpstreamPool, endpoint: Endpoint, *, when: asyncio.Event | None = None) -> None:
    """Asks, and cancels as soon as `when` is set, or in the middle of a connect that goes nowhere."""
    task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, endpoint))
    if when is None:
        for _ in range(10):
            await asyncio.sleep(0)
    else:
        await when.wait()
    assert pool.connecting_count == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.connecting_count == 0


# --- one address


async def test_a_refused_connection(refusing: SocketAddress) -> None:
    error = await fault(named(refusing), NAMED)

    assert (error.kind, error.code) == (ErrorKind.UNREACHABLE, FaultCode.REFUSED)


async def test_an_address_without_a_route() -> None:
    nowhere = SocketAddress(socket.AF_INET, ("255.255.255.255", 80))

    assert (await fault(named(nowhere), NAMED)).code == FaultCode.UNREACHABLE


async def test_a_host_that_does_not_answer_runs_into_the_connect_deadline(silent: SocketAddress) -> None:
    error = await fault(named(silent), NAMED, connect_timeout_s=0.05)

    assert (error.kind, error.code) == (ErrorKind.UNREACHABLE, FaultCode.CONNECT_TIMEOUT)


async def test_a_resolver_that_does_not_answer_runs_into_the_connect_deadline() -> None:
    async def lookup(host: str, port: int) -> list[SocketAddress]:
        await asyncio.Event().wait()
        return []

    pool = UpstreamPool(lookup=lookup)

    assert (await fault(pool, NAMED, connect_timeout_s=0.05)).code == FaultCode.CONNECT_TIMEOUT
    await pool.close()


async def test_a_name_that_leads_to_metadata_is_not_connected_to() -> None:
    """The base URL was fine; the answer of DNS changed later."""
    pool = named(SocketAddress(socket.AF_INET, ("169.254.169.254", 80)))

    assert (await fault(pool, NAMED)).code == FaultCode.FORBIDDEN


async def test_a_lack_of_file_descriptors_is_our_own_fault(
    refusing: SocketAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_socket(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    pool = named(refusing)
    monkeypatch.setattr("proxy.upstream.connect.socket.socket", no_socket)

    error = await fault(pool, NAMED)
    monkeypatch.undo()

    assert error.code == FaultCode.RESOURCES


async def test_cancelling_while_the_name_is_resolved_leaves_nothing() -> None:
    asked = asyncio.Event()

    async def lookup(host: str, port: int) -> list[SocketAddress]:
        asked.set()
        await asyncio.Event().wait()
        return []

    pool = UpstreamPool(lookup=lookup)
    await cancelled(pool, NAMED, when=asked)
    await pool.close()


async def test_cancelling_while_it_connects_leaves_nothing(silent: SocketAddress) -> None:
    await cancelled(named(silent), NAMED)


async def test_cancelling_while_two_addresses_are_tried_leaves_nothing(silent: SocketAddress) -> None:
    await cancelled(named(silent, silent), NAMED)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_cancelling_at_every_turn_of_a_connect_leaves_nothing(is_tls: bool, tmp_path: Path) -> None:
    """After one turn of the loop, after two, and so on, until the answer is there."""
    authority = Authority(tmp_path)
    context = server_context(authority.issue("good", "127.0.0.1")) if is_tls else None
    async with RawServer(keeping(ANSWER), tls=context) as server:
        endpoint = parse_endpoint(server.url, tls=TlsSettings(ca_file=authority.ca_file))
        turns, is_done = 0, False
        while not is_done:
            pool = UpstreamPool()
            pool.prepare(endpoint)
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, endpoint))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_done = task.done()
            task.cancel()
            await asyncio.wait([task])
            await until(lambda pool=pool: pool.open_count == pool.idle_count)  # type: ignore[misc]
            await pool.close()
            turns += 1

        assert turns > 3


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_cancelling_in_the_turn_in_which_the_connection_is_ready(
    is_tls: bool, tmp_path: Path, pool: UpstreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is ready belongs to nobody yet."""
    authority = Authority(tmp_path)
    context = server_context(authority.issue("good", "127.0.0.1")) if is_tls else None
    owner, method = (TlsFilter, "handshake") if is_tls else (Connection, "connection_made")
    original = getattr(owner, method)

    def cancelling(self: TlsFilter | Connection, data: object) -> None:
        original(self, data)
        if not isinstance(self, TlsFilter) or self.is_ready:
            asyncio.get_running_loop().call_soon(task.cancel)

    monkeypatch.setattr(owner, method, cancelling)
    async with RawServer(keeping(ANSWER), tls=context) as server:
        endpoint = parse_endpoint(server.url, tls=TlsSettings(ca_file=authority.ca_file))
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, endpoint))
        with pytest.raises(asyncio.CancelledError):
            await task

        await until(lambda: pool.open_count == 0)


# --- several addresses


async def test_the_next_address_is_tried_when_one_refuses(refusing: SocketAddress) -> None:
    async with RawServer(keeping(ANSWER)) as server:
        pool = named(refusing, local(server.port))

        exchange = await ask(pool, NAMED)

        assert exchange.peer == f"127.0.0.1:{server.port}"
        await exchange.read_whole(10)
        await pool.close()


async def test_the_next_address_is_tried_beside_one_that_does_not_answer(silent: SocketAddress) -> None:
    async with RawServer(keeping(ANSWER)) as server:
        sock = await connect_first(asyncio.get_running_loop(), [silent, local(server.port)], delay_s=0.01)

        assert sock.getpeername()[1] == server.port
        sock.close()


async def test_an_attempt_that_comes_in_second_is_closed() -> None:
    async with RawServer(gone()) as one, RawServer(gone()) as other:
        sock = await connect_first(asyncio.get_running_loop(), [local(one.port), local(other.port)], delay_s=0.0)

        winner = sock.getpeername()[1]
        loser = other if winner == one.port else one
        await asyncio.sleep(0.01)
        await loser.settled()
        sock.close()


async def test_an_attempt_that_succeeds_in_the_same_turn_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [*socket.socketpair(), *socket.socketpair()]
    sockets = [ends[0], ends[2]]
    second_began = asyncio.Event()

    async def connect_one(loop: asyncio.AbstractEventLoop, address: SocketAddress) -> socket.socket:
        if address.address[1] == 0:
            await second_began.wait()
        second_began.set()
        return sockets[address.address[1]]

    monkeypatch.setattr("proxy.upstream.connect._connect_one", connect_one)

    winner = await connect_first(asyncio.get_running_loop(), [local(0), local(1)], delay_s=0.0)

    sockets.remove(winner)
    assert sockets[0].fileno() == -1
    for end in ends:
        end.close()


def gone() -> Script:
    async def script(peer: Peer) -> None:
        await peer.gone()

    return script


async def test_the_most_telling_failure_is_reported(refusing: SocketAddress) -> None:
    nowhere = SocketAddress(socket.AF_INET, ("255.255.255.255", 80))

    for addresses in ((nowhere, refusing), (refusing, nowhere)):
        assert (await fault(named(*addresses), NAMED)).code == FaultCode.REFUSED
    assert (await fault(named(nowhere, nowhere), NAMED)).code == FaultCode.UNREACHABLE


def test_families_take_turns() -> None:
    six = [SocketAddress(socket.AF_INET6, (f"::{n}", 1)) for n in range(3)]
    four = [SocketAddress(socket.AF_INET, (f"10.0.0.{n}", 1)) for n in range(2)]

    assert interleave([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleave([*four, *six]) == [four[0], six[0], four[1], six[1], six[2]]
    assert interleave(four) == four


# --- proxies


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


def tunnelling(targets: list[str]) -> Script:
    """A proxy that opens every tunnel, and notes where to."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        assert request.method == "CONNECT"
        targets.append(request.target)
        host, _, port = request.target.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await peer.send(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        tasks = [
            asyncio.get_running_loop().create_task(copy(*ends))
            for ends in ((reader, peer.writer), (peer.reader, writer))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.transport.abort()

    return script


async def test_https_goes_through_a_tunnel(pool: UpstreamPool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(authority.issue("good", "127.0.0.1"))
    targets: list[str] = []
    async with RawServer(keeping(ANSWER), tls=context) as server, RawServer(tunnelling(targets)) as proxy:
        endpoint = parse_endpoint(
            server.url, tls=TlsSettings(ca_file=authority.ca_file), proxy=f"http://user:pass@127.0.0.1:{proxy.port}"
        )

        for is_reused in (False, True):
            exchange = await ask(pool, endpoint)
            assert (await exchange.read_whole(10), exchange.reused) == (b"hi", is_reused)

        assert targets == [f"127.0.0.1:{server.port}"]
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
        assert [request.target for request in server.requests] == ["/chat", "/chat"]
        assert "proxy-authorization" not in server.requests[0].headers
        await pool.close()


async def test_http_is_asked_of_the_proxy(pool: UpstreamPool) -> None:
    async with RawServer(keeping(ANSWER)) as proxy:
        endpoint = parse_endpoint("http://model.internal:8000/v1", proxy=proxy.url)

        assert await (await ask(pool, endpoint)).read_whole(10) == b"hi"

        assert proxy.requests[0].target == "http://model.internal:8000/v1/chat"
        assert proxy.requests[0].headers["host"] == "model.internal:8000"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SOCKS\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000,
        b"HTTP/1.1 2000 OK\r\n\r\n",
    ],
)
async def test_a_tunnel_that_is_not_opened(answer: bytes, pool: UpstreamPool) -> None:
    async with RawServer(answering(answer)) as proxy:
        error = await fault(pool, parse_endpoint("https://example.com", proxy=proxy.url))

        assert (error.kind, error.code) == (ErrorKind.UNREACHABLE, FaultCode.PROXY)


async def test_a_proxy_that_cannot_be_reached(pool: UpstreamPool, refusing: SocketAddress) -> None:
    for scheme in ("https", "http"):
        endpoint = parse_endpoint(f"{scheme}://example.com", proxy=f"http://127.0.0.1:{refusing.address[1]}")

        assert (await fault(pool, endpoint)).code == FaultCode.PROXY


async def test_a_proxy_that_does_not_answer_runs_into_the_connect_deadline(pool: UpstreamPool) -> None:
    async with RawServer(answering(close=False)) as proxy:
        endpoint = parse_endpoint("https://example.com", proxy=proxy.url)

        assert (await fault(pool, endpoint, connect_timeout_s=0.05)).code == FaultCode.CONNECT_TIMEOUT
        await proxy.settled()


async def test_cancelling_while_the_tunnel_is_asked_for_closes_the_socket(pool: UpstreamPool) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        asked.set()
        assert await peer.gone() == b""

    async with RawServer(script) as proxy:
        await cancelled(pool, parse_endpoint("https://example.com", proxy=proxy.url), when=asked)
        await proxy.settled()


async def test_a_tls_failure_behind_a_proxy_is_the_upstreams(pool: UpstreamPool) -> None:
    async with RawServer(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as proxy:
        error = await fault(pool, parse_endpoint("https://example.com", proxy=proxy.url))

        assert error.code in (FaultCode.TLS, FaultCode.RESET)
