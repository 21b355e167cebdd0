"""The table of cases over real sockets, cancelling at every stage, backpressure, and what may follow an answer."""

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest

from proxy.hub.errors import ErrorKind, UpstreamError
from proxy.upstream import Exchange, FaultCode, TlsSettings, UpstreamPool, parse_endpoint
from proxy.upstream.answer import AnswerReader
from tests.upstream.cases import CASES, CHUNKED, LAST, OK, Case, End, Stage, chunked, of_length
from tests.upstream.client import Receiver, ask, until
from tests.upstream.offline import OfflineConnection, Recorder
from tests.upstream.raw_server import Peer, RawServer, Script, answering


def playing(case: Case, received: asyncio.Event, size: int) -> Script:
    """A script that plays `case` in sends of `size` bytes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        with suppress(ConnectionError):  # A client that has seen enough closes before the rest is out.
            for start in range(0, len(case.answer), size):
                await peer.send(case.answer[start : start + size])
                await asyncio.sleep(0)
        match case.end:
            case End.FIN:
                peer.close()
            case End.RST:
                await received.wait()
                peer.reset()
            case End.STAY:
                await peer.gone()

    return script


async def play_over(
    case: Case, pool: UpstreamPool, size: int, *, tls: ssl.SSLContext | None, settings: TlsSettings
) -> None:
    """Plays `case` in sends of `size` bytes, and checks everything that comes of it."""
    received = asyncio.Event()
    async with RawServer(playing(case, received, size), tls=tls) as server:
        endpoint = parse_endpoint(server.url, tls=settings)
        failure: UpstreamError | None = None
        receiver = Receiver()
        try:
            if case.end is End.RST and case.error is not None and case.error.stage is Stage.HEAD:
                asyncio.get_running_loop().call_later(0.02, received.set)
            exchange = await ask(pool, endpoint, method=case.method)
            assert exchange.status == case.status
            exchange.start(receiver)
            await receiver.has(case.body)
            received.set()
            await receiver.over()
            failure = receiver.error
        except UpstreamError as error:
            failure = error
        if case.is_kept:
            assert pool.idle_count == 1
        else:
            await until(lambda: pool.open_count == 0)

    assert receiver.body == case.body
    assert (failure.kind, failure.code) == (case.error.kind, case.error.code) if case.error and failure else not failure
    if case.is_kept:
        await until(lambda: pool.open_count == 0)  # The server closed it: nobody waits, and it is not kept.
        assert pool.idle_count == 0


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_case_in_one_send(case: Case, pool: UpstreamPool) -> None:
    await play_over(case, pool, 1 << 20, tls=None, settings=TlsSettings())


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_case_in_small_sends(case: Case, pool: UpstreamPool) -> None:
    await play_over(case, pool, 1 if len(case.answer) < 2048 else 4999, tls=None, settings=TlsSettings())


# --- cancelling


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_while_headers_are_awaited_closes_the_socket(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        assert await peer.gone() == b""

    async with RawServer(script) as server:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, server))
        peer = await server.peer()
        await until(lambda: bool(peer.requests))

        await cancel(task)

        await server.settled()
        await until(lambda: pool.open_count == 0)


@pytest.mark.parametrize("answer", [of_length(b"hi"), CHUNKED + chunked(b"hi")], ids=["complete", "incomplete"])
@pytest.mark.parametrize(("owner", "method"), [(AnswerReader, "feed"), (Exchange, "push")], ids=["before", "after"])
async def test_cancelling_in_the_turn_in_which_the_head_came(
    owner: type[object], method: str, answer: bytes, pool: UpstreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the waiting task is told, and after: a complete answer's connection may be somebody else's by then."""
    task: asyncio.Task[object]
    original = getattr(owner, method)

    def cancelling(*args: object) -> None:
        task.cancel()
        original(*args)

    monkeypatch.setattr(owner, method, cancelling)
    async with RawServer(answering(answer, close=False)) as server:
        task = asyncio.get_running_loop().create_task(ask(pool, server))
        with pytest.raises(asyncio.CancelledError):
            await task

        kept = 1 if owner is Exchange and answer == of_length(b"hi") else 0
        await until(lambda: pool.open_count == kept)
        assert pool.idle_count == kept


async def test_cancelling_while_a_large_body_is_written_closes_the_socket(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(1000)
        await asyncio.Event().wait()

    async with RawServer(script) as server:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(ask(pool, server, body=b"x" * 32_000_000))
        peer = await server.peer()

        await cancel(task)

        await peer.gone()
        await until(lambda: pool.open_count == 0)


async def test_cancelling_read_whole_closes_the_socket(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunked(b"half"))
        await peer.gone()

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(exchange.read_whole(100))
        await asyncio.sleep(0)

        await cancel(task)

        await server.settled()


# --- deadlines


async def test_headers_that_do_not_come_are_a_timeout(pool: UpstreamPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamError) as caught:
            await ask(pool, server, headers_timeout_s=0.05)

        assert (caught.value.kind, caught.value.code) == (ErrorKind.TIMEOUT, FaultCode.HEADERS_TIMEOUT)
        await server.settled()


async def test_the_headers_deadline_does_not_limit_the_body(pool: UpstreamPool) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await go_on.wait()
        await peer.send(chunked(b"late") + LAST)
        await peer.gone()

    async with RawServer(script) as server:
        exchange = await ask(pool, server, headers_timeout_s=0.5)
        asyncio.get_running_loop().call_later(0.6, go_on.set)

        assert await exchange.read_whole(100) == b"late"


# --- backpressure


def flooding(sent: list[int]) -> Script:
    """A script that sends chunks as fast as the client takes them, and counts their bytes in `sent[0]`."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        piece = chunked(b"x" * 10_000)
        try:
            while True:
                await peer.send(piece)
                sent[0] += len(piece)
        except ConnectionError:
            pass

    return script


async def stands_still(sent: list[int]) -> int:
    """Waits until the server can send no more; how much it sent."""
    before = -1
    while sent[0] != before:
        before = sent[0]
        await asyncio.sleep(0.05)
    return before


async def test_a_pause_stops_the_server_and_resume_lets_it_go_on(pool: UpstreamPool) -> None:
    sent = [0]
    async with RawServer(flooding(sent)) as server:
        exchange = await ask(pool, server)
        receiver = Receiver()
        exchange.start(receiver)
        await receiver.has(receiver.body)
        exchange.pause()
        exchange.pause()

        stopped_at = await stands_still(sent)
        received_at = len(receiver.body)
        await asyncio.sleep(0.05)
        assert len(receiver.body) == received_at
        assert sent[0] == stopped_at

        exchange.resume()
        await until(lambda: len(receiver.body) > received_at + 1_000_000)
        exchange.abort()


async def test_an_abort_reaches_the_provider_before_the_loop_goes_on(pool: UpstreamPool) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        asking = asyncio.ensure_future(ask(pool, parse_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")))
        peer, _ = await loop.sock_accept(listener)
        with peer:
            assert await loop.sock_recv(peer, 4096)
            await loop.sock_sendall(peer, CHUNKED + chunked(b"one"))
            exchange = await asking
            exchange.start(Receiver())

            exchange.abort()

            assert peer.recv(1) == b""


async def test_what_nobody_has_started_is_not_read(pool: UpstreamPool) -> None:
    sent = [0]
    async with RawServer(flooding(sent)) as server:
        exchange = await ask(pool, server)
        await stands_still(sent)

        receiver = Receiver()
        exchange.pause()
        exchange.start(receiver)

        assert 0 < len(receiver.body) <= 3 * 65536
        exchange.abort()


async def test_an_end_that_comes_during_a_pause_is_told_after_resume(pool: UpstreamPool) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nbegin")
        await go_on.wait()
        await peer.send(b"end" * 100_000)

    async with RawServer(script) as server:
        exchange = await ask(pool, server)
        receiver = Receiver()
        exchange.start(receiver)
        await receiver.has(b"begin")
        exchange.pause()
        go_on.set()
        await server.peer()
        await asyncio.sleep(0.05)
        assert receiver.body == b"begin" and not receiver.is_over

        exchange.resume()

        await receiver.over()
        assert receiver.has_ended and receiver.body == b"begin" + b"end" * 100_000


# --- offline: orders that sockets do not give reliably


@pytest.fixture
async def offline() -> OfflineConnection:
    return OfflineConnection(asyncio.get_running_loop())


async def test_one_read_is_one_piece(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"request", "POST")
    offline.feed(CHUNKED)
    recorder = Recorder()
    (await waiter).start(recorder)

    offline.feed(chunked(b"a", b"b", b"c"))
    offline.feed(chunked(b"d") + LAST)

    assert recorder.pieces == [b"abc", b"d"]


async def test_a_receiver_that_aborts_is_not_called_again(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"request", "POST")
    offline.feed(CHUNKED)
    exchange = await waiter

    class Leaving(Recorder):
        def body_received(self, data: bytes) -> None:
            super().body_received(data)
            exchange.abort()
            exchange.abort()

    receiver = Leaving()
    exchange.start(receiver)
    offline.feed(chunked(b"a") + LAST)

    assert receiver.pieces == [b"a"]
    assert not receiver.is_over
    assert offline.transport.closed_by == "abort"
    assert not offline.owner.idle


async def test_the_last_bytes_of_a_message_do_not_leave_a_kept_connection_paused(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"request", "POST")
    offline.feed(CHUNKED)
    exchange = await waiter

    class Full(Recorder):
        def body_received(self, data: bytes) -> None:
            super().body_received(data)
            exchange.pause()

    receiver = Full()
    exchange.start(receiver)
    offline.feed(chunked(b"a") + LAST)

    assert receiver.has_ended
    assert offline.owner.idle == [offline.connection]
    assert not offline.transport.is_paused


async def test_a_finished_exchange_cannot_touch_the_next_one(offline: OfflineConnection) -> None:
    first_waiter = offline.connection.send(b"request", "POST")
    offline.feed(of_length(b"one"))
    first = await first_waiter
    second_waiter = offline.connection.send(b"request", "POST")

    first.pause()
    first.abort()
    first.finish_in_background()
    offline.feed(of_length(b"two"))

    assert await (await second_waiter).read_whole(10) == b"two"
    with pytest.raises(RuntimeError):
        first.start(Recorder())


async def test_an_answer_before_the_request_was_written_closes_the_connection(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"request", "POST")
    offline.transport.unwritten = 1

    offline.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    exchange = await waiter
    assert (exchange.status, await exchange.read_whole(10)) == (413, b"no")
    assert offline.transport.closed_by == "abort"
    assert not offline.owner.idle


async def test_the_deadline_of_a_message_that_ended_in_time_is_not_the_next_ones(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"request", "POST")
    offline.feed(CHUNKED)
    (await waiter).finish_in_background()
    deadline = offline.connection._drain_timer

    offline.feed(LAST)

    assert deadline is not None and deadline.cancelled()
    assert offline.owner.idle == [offline.connection]


@pytest.mark.parametrize("data", [b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x"])
async def test_bytes_that_nobody_asked_for_close_the_connection(offline: OfflineConnection, data: bytes) -> None:
    offline.feed(data)

    assert not offline.connection.is_idle
    assert offline.owner.closed == [offline.connection]


async def test_one_write_carries_the_whole_request(offline: OfflineConnection) -> None:
    waiter = offline.connection.send(b"head and body", "POST")

    assert offline.transport.written == [b"head and body"]
    waiter.cancel()


# --- sockets as they are set up


async def test_small_writes_are_not_delayed_and_dead_peers_are_found(pool: UpstreamPool) -> None:
    async with RawServer(answering(of_length(b"hi"), close=False)) as server:
        await (await ask(pool, server)).read_whole(10)

        connection = next(iter(pool._sockets))
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_the_answer_tells_its_peer_and_timings(pool: UpstreamPool) -> None:
    async with RawServer(answering(of_length(b"a"), of_length(b"b"), close=False)) as server:
        first = await ask(pool, server)
        await first.read_whole(10)
        second = await ask(pool, server)
        await second.read_whole(10)

        assert first.peer == second.peer == f"127.0.0.1:{server.port}"
        assert first.connect is not None and first.connect_s == first.connect.total_s >= 0
        assert first.headers_s >= 0
        assert (first.reused, second.reused, second.connect_s) == (False, True, None)


async def test_an_ipv6_literal_is_connected_to(pool: UpstreamPool) -> None:
    async with RawServer(answering(of_length(b"six")), host="::1") as server:
        exchange = await ask(pool, parse_endpoint(server.url))

        assert await exchange.read_whole(10) == b"six"
        assert exchange.peer == f"[::1]:{server.port}"
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
