"""Which connections are kept, for how long, for whom, and what happens when a kept one was dead."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from proxy.hub.errors import CallerError, ErrorKind, UpstreamError
from proxy.upstream import Exchange, FaultCode, UpstreamPool, parse_endpoint
from proxy.upstream.answer import AnswerReader
from proxy.upstream.connection import Connection
from tests.upstream.cases import CHUNKED, LAST, OK, chunked, of_length
from tests.upstream.client import Receiver, ask, until
from tests.upstream.raw_server import Peer, RawServer, Script, answering, keeping

ANSWER = of_length(b"hi")


async def ask_whole(pool: UpstreamPool, server: RawServer) -> Exchange:
    exchange = await ask(pool, server)
    assert await exchange.read_whole(100) == b"hi"
    return exchange


def ending_on(release: asyncio.Event) -> Script:
    """A script whose answers end when `release` is set."""

    async def script(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await peer.request()
                await peer.send(CHUNKED)
                await release.wait()
                await peer.send(LAST)

    return script


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Answers every request and keeps its connections."""
    async with RawServer(keeping(ANSWER)) as made:
        yield made


async def test_a_connection_is_reused_and_counted(pool: UpstreamPool, server: RawServer) -> None:
    first, second = await ask_whole(pool, server), await ask_whole(pool, server)

    assert (first.reused, second.reused) == (False, True)
    assert (pool.open_count, pool.idle_count, pool.opened_total, len(server.peers)) == (1, 1, 1, 1)


async def test_a_connection_serves_one_exchange_at_a_time(pool: UpstreamPool) -> None:
    release = asyncio.Event()
    async with RawServer(ending_on(release)) as server:
        first, second = await ask(pool, server), await ask(pool, server)

        assert (pool.open_count, pool.idle_count) == (2, 0)
        release.set()
        assert await first.read_whole(10) == await second.read_whole(10) == b""
        assert (pool.open_count, pool.idle_count) == (2, 2)


async def test_the_connection_that_was_used_last_is_taken_first(pool: UpstreamPool) -> None:
    releases = [asyncio.Event(), asyncio.Event()]

    async def script(peer: Peer) -> None:
        await ending_on(releases[server.peers.index(peer)])(peer)

    async with RawServer(script) as server:
        first, second = await ask(pool, server), await ask(pool, server)
        releases[1].set()
        await second.read_whole(10)
        releases[0].set()
        await first.read_whole(10)

        third = await ask(pool, server)
        await third.read_whole(10)

        assert third.reused
        assert [len(peer.requests) for peer in server.peers] == [2, 1]


async def test_endpoints_do_not_share_connections(pool: UpstreamPool, server: RawServer) -> None:
    await ask_whole(pool, server)

    other = await ask(pool, parse_endpoint(server.url + "/v1"))
    await other.read_whole(100)

    assert not other.reused
    assert [request.target for request in server.requests] == ["/chat", "/v1/chat"]


async def test_a_connection_that_was_idle_too_long_is_not_used(server: RawServer) -> None:
    pool = UpstreamPool(idle_limit_s=0.05)
    await ask_whole(pool, server)

    await until(lambda: pool.open_count == 0)  # The sweep.

    assert not (await ask_whole(pool, server)).reused
    await pool.close()


async def test_too_old_by_the_clock_is_too_old_before_the_sweep(
    pool: UpstreamPool, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask_whole(pool, server)
    connection = pool._idle[parse_endpoint(server.url)][0]
    connection.idle_since -= 31.0

    assert not (await ask_whole(pool, server)).reused
    await until(lambda: pool.open_count == 1)


async def test_a_connection_does_not_outlive_its_age(pool: UpstreamPool, server: RawServer) -> None:
    exchange = await ask(pool, server)
    for connection in pool._sockets:
        connection.opened_at -= 301.0
    await exchange.read_whole(100)

    assert not (await ask_whole(pool, server)).reused


@pytest.mark.parametrize(("hint", "idle_s", "is_reused"), [(b"timeout=5", 3.9, True), (b"timeout=5", 4.1, False)])
async def test_the_peers_keep_alive_hint_is_honoured(
    hint: bytes, idle_s: float, is_reused: bool, pool: UpstreamPool
) -> None:
    async with RawServer(keeping(of_length(b"hi", b"Keep-Alive: " + hint))) as server:
        await ask_whole(pool, server)
        pool._idle[parse_endpoint(server.url)][0].idle_since -= idle_s

        assert (await ask_whole(pool, server)).reused is is_reused


async def test_no_more_than_the_limit_is_kept() -> None:
    pool = UpstreamPool(max_idle=2)
    release = asyncio.Event()
    async with RawServer(ending_on(release)) as server:
        exchanges = [await ask(pool, server) for _ in range(4)]
        release.set()
        await asyncio.gather(*[exchange.read_whole(10) for exchange in exchanges])

        await until(lambda: pool.open_count == 2)
        assert pool.idle_count == 2
        await pool.close()


# --- dead connections


async def test_an_idle_connection_that_the_peer_closes_is_forgotten(pool: UpstreamPool) -> None:
    async with RawServer(answering(ANSWER)) as server:
        await ask_whole(pool, server)

        await until(lambda: pool.open_count == 0)

        assert pool.idle_count == 0
        assert not (await ask_whole(pool, server)).reused


async def test_an_idle_connection_that_is_reset_is_forgotten(pool: UpstreamPool) -> None:
    async with RawServer(answering(ANSWER, close=False)) as server:
        await ask_whole(pool, server)

        server.peers[0].reset()

        await until(lambda: pool.open_count == 0)
        assert pool.idle_count == 0


async def test_an_idle_connection_with_unasked_bytes_is_closed(pool: UpstreamPool) -> None:
    async with RawServer(answering(ANSWER, close=False)) as server:
        await ask_whole(pool, server)

        await server.peers[0].send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

        await server.settled()
        assert (pool.open_count, pool.idle_count) == (0, 0)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_stale_connection_is_replaced_once_without_the_caller_noticing(how: str, pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        getattr(peer, how)()  # In reply to the second request: no end was seen while idle.

    async with RawServer(script) as server:
        await ask_whole(pool, server)
        server_side = server.peers[0]

        second = await ask(pool, server)
        assert await second.read_whole(100) == b"hi"

        assert not second.reused
        assert pool.stale_total == 1
        assert len(server_side.requests) == 2
        assert server.peers[1].requests[0].raw == server_side.requests[1].raw


async def test_a_reused_connection_that_fails_after_a_byte_is_not_tried_again(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        await peer.send(b"H")

    async with RawServer(script) as server:
        await ask_whole(pool, server)

        with pytest.raises(UpstreamError) as caught:
            await ask(pool, server)

        assert caught.value.code == FaultCode.CLOSED
        assert len(server.peers) == 1


async def test_a_fresh_connection_that_fails_is_not_tried_again(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamError) as caught:
            await ask(pool, server)

        assert (caught.value.kind, caught.value.code) == (ErrorKind.UNREACHABLE, FaultCode.CLOSED)
        assert len(server.peers) == 1


async def test_a_reused_connection_whose_headers_are_late_is_not_tried_again(pool: UpstreamPool) -> None:
    async with RawServer(answering(ANSWER, close=False)) as server:
        await ask_whole(pool, server)

        with pytest.raises(UpstreamError) as caught:
            await ask(pool, server, headers_timeout_s=0.05)

        assert caught.value.code == FaultCode.HEADERS_TIMEOUT
        assert len(server.peers) == 1


# --- what may follow a stream


async def test_a_message_that_ends_in_the_background_gives_its_connection_back(pool: UpstreamPool) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunked(b"[DONE]"))
        await release.wait()
        await peer.send(chunked(b"more that nobody wants") + LAST)
        await peer.gone()

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        receiver = Receiver()
        exchange.start(receiver)
        await receiver.has(b"[DONE]")
        exchange.pause()

        exchange.finish_in_background()
        assert pool.idle_count == 0
        release.set()

        await until(lambda: pool.idle_count == 1)
        assert receiver.body == b"[DONE]" and not receiver.is_over


async def test_a_message_that_does_not_end_in_time_is_closed(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunked(b"[DONE]"))
        await peer.gone()

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        exchange.start(Receiver())

        exchange.finish_in_background(timeout_s=0.02)

        await server.settled()
        await until(lambda: pool.open_count == 0)


async def test_a_message_that_goes_on_for_long_is_closed(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        with suppress(ConnectionError):
            while True:
                await peer.send(chunked(b"x" * 10_000))

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        exchange.start(Receiver())

        exchange.finish_in_background(timeout_s=60)

        await server.settled()
        await until(lambda: pool.open_count == 0)


async def test_aborting_closes_the_socket(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunked(b"a"))
        await peer.gone()

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        receiver = Receiver()
        exchange.start(receiver)

        exchange.abort()
        exchange.abort()

        await server.settled()
        await until(lambda: pool.open_count == 0)
        assert not receiver.is_over


# --- closing


async def test_closing_fails_what_runs_and_frees_every_socket(server: RawServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunked(b"a"))
        await peer.gone()

    pool = UpstreamPool()
    async with RawServer(script) as streaming, RawServer(answering(close=False)) as silent:
        await ask_whole(pool, server)
        streamed, unstarted = Receiver(), Receiver()
        (await ask(pool, streaming)).start(streamed)
        waiting_to_start = await ask(pool, streaming)
        waiting: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, silent))
        await silent.peer()

        await pool.close()

        assert (pool.open_count, pool.idle_count) == (0, 0)
        assert streamed.error is not None and streamed.error.kind is ErrorKind.DRAINED
        waiting_to_start.start(unstarted)
        assert unstarted.error is not None and unstarted.error.code == FaultCode.POOL_CLOSED
        with pytest.raises(UpstreamError):
            await waiting
        with pytest.raises(UpstreamError):
            await ask(pool, server)
        await pool.close()


async def test_a_connection_that_is_made_while_the_pool_closes_is_not_used(server: RawServer) -> None:
    pool = UpstreamPool()
    task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, server))
    await asyncio.sleep(0)
    assert pool.connecting_count == 1

    await pool.close()

    with pytest.raises(UpstreamError) as caught:
        await task
    assert caught.value.code == FaultCode.POOL_CLOSED
    await until(lambda: pool.open_count == 0)
    assert server.requests == []


# --- refusals before anything is sent


async def test_what_cannot_be_sent_opens_no_connection(pool: UpstreamPool, server: RawServer) -> None:
    with pytest.raises(CallerError):
        await ask(pool, server, path="/a b")

    assert server.peers == []


async def test_many_requests_at_once_and_after_each_other(pool: UpstreamPool, server: RawServer) -> None:
    for _ in range(3):
        exchanges = await asyncio.gather(*[ask(pool, server) for _ in range(30)])
        bodies = await asyncio.gather(*[exchange.read_whole(10) for exchange in exchanges])
        assert bodies == [b"hi"] * 30

    assert len(server.requests) == 90
    assert pool.opened_total <= 30
    assert pool.open_count == pool.idle_count


@pytest.mark.parametrize("way", ["whole", "pushed", "aborted", "late_end"])
async def test_what_is_over_is_freed_without_the_collector(way: str, pool: UpstreamPool, server: RawServer) -> None:
    gc.collect()  # What earlier tests have left.
    for _ in range(3):
        exchange = await ask(pool, server)
        if way == "whole":
            await exchange.read_whole(100)
        elif way == "pushed":
            receiver = Receiver()
            exchange.start(receiver)
            await receiver.over()
        elif way == "aborted":
            exchange.abort()
        else:
            exchange.finish_in_background()
    del exchange
    await asyncio.sleep(0)

    alive = [each for each in gc.get_objects() if isinstance(each, Exchange | Connection | AnswerReader)]
    kept = [each for each in alive if isinstance(each, Connection)]
    assert (len(alive), len(kept)) == (pool.idle_count, pool.idle_count)


async def test_a_stream_can_be_read_whole_only_within_its_limit(pool: UpstreamPool) -> None:
    async with RawServer(answering(OK + b"Content-Length: 11\r\n\r\nhello world", close=False)) as server:
        exchange = await ask(pool, server)

        with pytest.raises(UpstreamError) as caught:
            await exchange.read_whole(10)

        assert (caught.value.kind, caught.value.code) == (ErrorKind.PROTOCOL, FaultCode.TOO_LARGE)
