"""A caller that stops reading pauses the upstream; what the proxy holds for it stays small; in the end it is let go."""

import asyncio
from pathlib import Path

import pytest
import yaml

from proxy.config import Sources, load
from proxy.server import protocol
from proxy.server.app import start
from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_stream
from tests.support.answers import json, sse
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic", "canonical"]
BIG = chat_stream(20_000, "word " * 100)
"""About 13 MB."""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_caller_that_reads_nothing_stops_the_upstream(dialect: str, tmp_path: Path) -> None:
    async with ReplayServer(sse(BIG), send_buffer_bytes=65536) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            call = RawCall(proxy.port, receive_buffer_bytes=16384)
            await call.send(request_bytes(dialect, "chat"))
            exchange = await upstream.exchange()

            taken = await exchange.until_blocked()

            assert taken < len(BIG) / 3, "what the kernel's buffers took, whose sizes it chooses itself"
            call.leave()
            await exchange.until_left()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_everything_arrives_once_a_slow_caller_reads_on(dialect: str, tmp_path: Path) -> None:
    async with ReplayServer(sse(chat_stream(4_000, "word " * 100)), send_buffer_bytes=65536) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            call = RawCall(proxy.port, receive_buffer_bytes=16384)
            await call.send(request_bytes(dialect, "chat"))
            await (await upstream.exchange()).until_blocked()

            answer = await call.read_until(b"0\r\n\r\n", patience_s=30)

            assert answer.count(b"word ") == 400_000
            call.leave()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_caller_that_takes_nothing_for_too_long_is_let_go(dialect: str, tmp_path: Path) -> None:
    async with ReplayServer(sse(BIG), send_buffer_bytes=65536) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        config = settings([chat], timeouts={"caller_stall_s": 1})
        async with proxy_process(config, tmp_path) as proxy:
            call = RawCall(proxy.port, receive_buffer_bytes=16384)
            await call.send(request_bytes(dialect, "chat"))
            exchange = await upstream.exchange()

            await exchange.until_left(patience_s=10)

            with pytest.raises(ConnectionResetError):
                await call.read_to_end()
            call.leave()
            assert "caller_too_slow" in await _log_with(proxy.log, "caller_too_slow")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_caller_may_take_longer_for_the_end_while_it_takes_some(dialect: str, tmp_path: Path) -> None:
    """Found by the soak: what waits when the stream has ended was to be taken within one stall's time."""
    async with ReplayServer(sse(chat_stream(400, "word " * 100)), send_buffer_bytes=65536) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat], timeouts={"caller_stall_s": 1}), tmp_path) as proxy:
            call = RawCall(proxy.port, receive_buffer_bytes=4096)
            await call.send(request_bytes(dialect, "chat"))

            async with asyncio.timeout(30):
                while not call.received.endswith(b"0\r\n\r\n"):
                    await call.read(8192)
                    await asyncio.sleep(0.1)

            assert call.received.count(b"word ") == 40_000
            call.leave()


@pytest.mark.parametrize("size", [150_000, 5_000_000], ids=["in the transport", "in the handler"])
async def test_a_caller_that_takes_nothing_of_a_whole_answer_is_let_go(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection, and the answer of up to 64 MB, were held for as long as it liked."""
    monkeypatch.setattr(protocol, "PEER_GRACE_S", 0.0)
    choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
    async with ReplayServer(json({"id": "c", "model": "m", "created": 1, "choices": [choice]})) as upstream:
        file = tmp_path / "proxy.yaml"
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        file.write_text(yaml.safe_dump(settings([chat], timeouts={"caller_stall_s": 0.5})))
        running = await start(load(Sources(file, environ={})).config)
        call = RawCall(running.port, receive_buffer_bytes=4096)
        await call.send(request_bytes("openai_chat", "chat").replace(b'"stream":true', b'"stream":null'))
        await call.read(1)
        server = running._servers[0][0]

        async with asyncio.timeout(20):
            while server.connections:  # noqa: ASYNC110  the kernel tells only the connection
                await asyncio.sleep(0.05)

        call.leave()
        await running.stop()


async def test_memory_of_slow_callers_stays_bounded(tmp_path: Path) -> None:
    """Fifty callers who read almost nothing of a large answer: less than 200 KB each."""
    count = 50
    async with ReplayServer(sse(BIG), send_buffer_bytes=65536) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            warm = RawCall(proxy.port)
            await warm.send(request_bytes("anthropic", "chat"))
            await warm.read_until(b"word")
            warm.leave()
            before = proxy.resident_bytes()
            calls = [RawCall(proxy.port, receive_buffer_bytes=4096) for _ in range(count)]
            for number, call in enumerate(calls):
                await call.send(request_bytes(DIALECTS[number % 3], "chat"))
            for index in range(1, count + 1):
                await (await upstream.exchange(index)).until_blocked()
            await asyncio.gather(*(call.read(1024) for call in calls))

            grown = proxy.resident_bytes() - before

            assert grown / count < 200_000
            for call in calls:
                call.leave()


async def _log_with(log: Path, text: str) -> str:
    async with asyncio.timeout(30):
        while text not in (content := log.read_text()):  # noqa: ASYNC110  nobody tells of a line
            await asyncio.sleep(0.02)
    return content
