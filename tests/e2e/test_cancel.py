"""The caller's leaving is the provider's leaving, at every stage of a call, for pass-through and conversion.

Times are measured from the caller's `close()` to the FIN or RST that the upstream's kernel reports.
"""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.server.app import ProxyServer
from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import BEFORE_HEADERS, Answer, sse
from tests.support.exchange import Exchange
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic"]
"""Callers of an OpenAI Chat upstream: one passes through, one is converted."""

FIRST = chat_chunk("one ")
STAGES: dict[str, Answer] = {
    "waiting for headers": sse(chat_stream(3), holds=(BEFORE_HEADERS,)),
    "before the first event": sse(FIRST, holds=(1,)),
    "midway": sse(FIRST + chat_stream(3), holds=(len(FIRST),)),
    "while slow": sse(chat_stream(60_000, "word " * 20)),
}
MAX_DELAY_S = 5.0
"""On any machine. A proxy that only learns of it when it writes would learn of it by a heartbeat, after 15 seconds; the
load test looks at the distribution."""


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(sse(chat_stream(3))) as server:
        yield server


@pytest.fixture
async def proxy(upstream: ReplayServer, tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
    async with proxy_process(settings([chat]), tmp_path) as running:
        yield running


async def _reach(stage: str, call: RawCall, exchange: Exchange) -> None:
    """Until the call is where the test wants to break it."""
    match stage:
        case "midway":
            await call.read_until(b"one")
        case "while slow":
            await exchange.until_blocked()
        case "before the first event":
            await exchange.until_sent(1)
        case _:
            pass


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_the_upstream_is_closed_when_the_caller_leaves(
    stage: str, dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    upstream.respond_with(STAGES[stage])
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, "chat"))
    exchange = await upstream.exchange()
    await _reach(stage, call, exchange)

    left_at = time.monotonic()
    call.leave()
    departure = await exchange.until_left()

    assert departure.at - left_at < MAX_DELAY_S
    assert not exchange.completed


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_connection_under_way_is_given_up(dialect: str, tmp_path: Path) -> None:
    """The upstream takes the connection and never answers the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with proxy_process(settings([provider("chat", "openai_chat", address)]), tmp_path) as proxy:
            loop = asyncio.get_running_loop()
            call = RawCall(proxy.port)
            await call.send(request_bytes(dialect, "chat"))
            connected, _ = await loop.sock_accept(listener)
            with connected:
                assert await loop.sock_recv(connected, 65536)

                left_at = time.monotonic()
                call.leave()
                async with asyncio.timeout(30):
                    end = await _read_end(connected)

    assert end - left_at < MAX_DELAY_S


async def _read_end(connected: socket.socket) -> float:
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(connected, 65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic()


@pytest.mark.parametrize("stage", ["waiting for headers", "before the first event"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_comes_in_the_turn_of_the_leaving_goes_nowhere(
    stage: str, dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    """Found by fuzzing: the answer was written to the connection that was about to be told lost."""
    upstream.respond_with(STAGES[stage])
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, "chat"))
    exchange = await upstream.exchange()
    await _reach(stage, call, exchange)
    files_before = proxy.open_files()

    await proxy.stop_at_rest()
    call.half_close()
    exchange.release()
    await exchange.until_sent(len(STAGES[stage].body))
    proxy.process.send_signal(signal.SIGCONT)
    await call.read_to_end()
    call.leave()
    await _until_files(proxy, files_before - 1)
    proxy.process.terminate()
    await proxy.process.wait()

    log = proxy.log.read_text()
    assert '"outcome":"caller_left_before_first"' in log
    assert '"exception"' not in log
    assert "Fatal error" not in log


async def test_what_aiohttp_reads_of_a_lost_connection_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """Found by fuzzing: the rest of a refused request is read in the moment in which its caller leaves."""

    async def answer(request: BaseRequest) -> web.Response:
        return web.Response()

    protocol = ProxyServer(answer, header_timeout_s=1, max_header_bytes=8190, caller_stall_s=30)()

    protocol.log_exception("lost")
    protocol.transport = asyncio.Transport()
    protocol.log_exception("connected")

    assert [record.message for record in caplog.records] == ["connected"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_two_hundred_callers_who_leave_at_once_all_stop_their_upstreams(
    dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    count = 200
    upstream.respond_with(STAGES["midway"])
    calls = [RawCall(proxy.port) for _ in range(count)]
    await asyncio.gather(*(call.send(request_bytes(dialect, "chat")) for call in calls))
    await asyncio.gather(*(call.read_until(b"one") for call in calls))
    files_before = proxy.open_files()

    left_at = time.monotonic()
    for call in calls:
        call.leave()
    departures = [await (await upstream.exchange(index)).until_left() for index in range(count)]

    delays = sorted(departure.at - left_at for departure in departures)
    assert delays[-1] < MAX_DELAY_S
    await _until_files(proxy, files_before - 2 * count)


async def _until_files(proxy: ProxyProcess, limit: int) -> None:
    async with asyncio.timeout(30):
        while proxy.open_files() > limit:  # noqa: ASYNC110  nobody tells of a descriptor
            await asyncio.sleep(0.02)
