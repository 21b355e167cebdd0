"""The promises that rest on the event loop's transports hold on uvloop as they do on asyncio's own loop."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import one_byte, sse
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

pytest.importorskip("uvloop", reason="needs uvloop: pip install 'llm-stream-proxy[uvloop]'")

LOOPS = ["asyncio", "uvloop"]
DIALECTS = ["openai_chat", "anthropic"]
FIRST = chat_chunk("one ")
MAX_DELAY_S = 5.0
"""On any machine: a heartbeat would tell of it after 15 seconds."""


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(sse(chat_stream(3)), send_buffer_bytes=65536) as server:
        yield server


@pytest.fixture(params=LOOPS)
async def proxy(request: pytest.FixtureRequest, upstream: ReplayServer, tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
    async with proxy_process(settings([chat], event_loop=request.param), tmp_path) as running:
        yield running


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_arrives_whole_however_it_is_cut(
    dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    upstream.respond_with(sse(chat_stream(30), pieces=one_byte))
    call = RawCall(proxy.port)

    await call.send(request_bytes(dialect, "chat"))
    answer = await call.read_until(b"0\r\n\r\n")

    assert answer.count(b"word") == chat_stream(30).count(b"word")
    assert (b"[DONE]" if dialect == "openai_chat" else b"message_stop") in answer
    call.leave()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_upstream_is_closed_when_the_caller_leaves(
    dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    upstream.respond_with(sse(FIRST + chat_stream(3), holds=(len(FIRST),)))
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, "chat"))
    exchange = await upstream.exchange()
    await call.read_until(b"one")

    left_at = time.monotonic()
    call.leave()
    departure = await exchange.until_left()

    assert departure.at - left_at < MAX_DELAY_S


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_caller_that_reads_nothing_stops_the_upstream_and_gets_everything_later(
    dialect: str, upstream: ReplayServer, proxy: ProxyProcess
) -> None:
    upstream.respond_with(sse(chat_stream(8_000, "word " * 100)))
    call = RawCall(proxy.port, receive_buffer_bytes=16384)
    await call.send(request_bytes(dialect, "chat"))

    taken = await (await upstream.exchange()).until_blocked()
    answer = await call.read_until(b"0\r\n\r\n", patience_s=50)

    assert taken < 4_000_000, "of more than five: the kernel chooses its buffers' sizes itself"
    assert answer.count(b"word ") == 800_000
    call.leave()


async def test_a_stop_lets_streams_end(upstream: ReplayServer, proxy: ProxyProcess) -> None:
    upstream.respond_with(sse(FIRST + chat_stream(3), holds=(len(FIRST),)))
    call = RawCall(proxy.port)
    await call.send(request_bytes("openai_chat", "chat"))
    exchange = await upstream.exchange()
    await call.read_until(b"one")

    proxy.process.terminate()
    exchange.release()
    answer = await call.read_to_end()

    assert b"[DONE]" in answer
    call.leave()
    assert await proxy.process.wait() == 0
