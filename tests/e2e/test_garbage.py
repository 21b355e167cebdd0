"""A call that has ended is gone: nothing of it waits for the garbage collector, whose full runs stop every stream.

A frame that keeps an exception whose traceback keeps the frame is all it takes; each refused call, and each caller that
left, kept sixty objects in that way.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import pytest
import yaml

from proxy.config import Sources, load
from proxy.server.app import Running, start
from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import Answer, Cut, CutHow, json, sse
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic"]
FIRST = chat_chunk("one ")
MESSAGE_START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"m","usage":{}}}\n\n'
CALLS = 5


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(sse(chat_stream(3))) as server:
        yield server


@pytest.fixture
async def proxy(upstream: ReplayServer, tmp_path: Path) -> AsyncIterator[Running]:
    file = tmp_path / "proxy.yaml"
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
    claude = provider("claude", "anthropic", upstream.base_url)
    dead = provider("dead", "openai_chat", "http://127.0.0.1:9/v1")
    base = settings([chat, claude, dead], retry={"attempts": 1}, on_cut="restart")
    models = {name: [{"provider": each} for each in (name, "chat")] for name in ("dead", "chat")}
    base["models"] += [{"name": f"{name}, then chat", "targets": targets} for name, targets in models.items()]
    file.write_text(yaml.safe_dump(base))
    running = await start(load(Sources(file, environ={})).config)
    yield running
    await running.stop()


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What only a full collection finds, once `gc.collect` is called."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def _call(proxy: Running, dialect: str, until: bytes, model: str = "chat") -> None:
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, model))
    await call.read_until(until)
    call.leave()


ENDINGS: dict[str, tuple[Answer, bytes]] = {
    "completed": (sse(chat_stream(3)), b"0\r\n\r\n"),
    "refused": (json({"error": {"message": "Slow down."}}, status=429), b"}"),
    "the caller left": (sse(FIRST + chat_stream(3), holds=(len(FIRST),)), b"one"),
    "cut": (sse(FIRST), b"0\r\n\r\n"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_call_that_has_ended_leaves_nothing_to_the_collector(
    ending: str, dialect: str, upstream: ReplayServer, proxy: Running, garbage: list[object]
) -> None:
    answer, until = ENDINGS[ending]
    upstream.respond_with(answer)

    for _ in range(CALLS):
        await _call(proxy, dialect, until)
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


def assert_clean(garbage: list[object]) -> None:
    ours = Counter(type(one).__name__ for one in garbage if type(one).__module__.startswith(("proxy.", "aiohttp.")))
    assert not ours, "frames: " + str({one.f_code.co_qualname for one in garbage if isinstance(one, FrameType)})


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_call_that_was_answered_by_another_target_leaves_nothing(
    dialect: str, proxy: Running, garbage: list[object]
) -> None:
    """The fault of the first target stayed in the frame that it had come through."""
    for _ in range(CALLS):
        await _call(proxy, dialect, b"0\r\n\r\n", "dead, then chat")
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_joined_answer_leaves_nothing(
    dialect: str, upstream: ReplayServer, proxy: Running, garbage: list[object]
) -> None:
    for _ in range(CALLS):
        upstream.respond_with([sse(FIRST), sse(chat_stream(3))])
        await _call(proxy, dialect, b"0\r\n\r\n", "chat, then chat")
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nonsense_in_a_stream_leaves_nothing(
    dialect: str, upstream: ReplayServer, proxy: Running, garbage: list[object]
) -> None:
    """The decoder keeps a fault that came behind a good event."""
    upstream.respond_with(sse(MESSAGE_START + b'event: content_block_delta\ndata: {"type":[[[\n\n'))
    for _ in range(CALLS):
        await _call(proxy, dialect, b"\r\n\r\n", "claude")
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


async def test_a_whole_answer_that_was_cut_leaves_nothing(
    upstream: ReplayServer, proxy: Running, garbage: list[object]
) -> None:
    upstream.respond_with(json({"choices": []}, cut=Cut(3, CutHow.RST)))
    for _ in range(CALLS):
        call = RawCall(proxy.port)
        await call.send(request_bytes("openai_chat", "chat").replace(b'"stream":true', b'"stream":null'))
        await call.read_until(b"}")
        call.leave()
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_caller_that_resets_while_it_is_written_to_leaves_nothing(
    dialect: str, upstream: ReplayServer, proxy: Running, garbage: list[object]
) -> None:
    """aiohttp keeps the fault of the connection, and its traceback the frames of the write that met it."""
    upstream.respond_with(sse(FIRST + chat_stream(3), holds=(len(FIRST),)))
    for number in range(CALLS):
        call = RawCall(proxy.port)
        await call.send(request_bytes(dialect, "chat"))
        await call.read_until(b"one")
        pause_reading(proxy)
        call.reset()
        (await upstream.exchange(number)).release()
        assert await proxy.gateway.wait_idle(10)
    gc.collect()

    assert_clean(garbage)


def pause_reading(proxy: Running) -> None:
    """So that the next write is the first to meet a reset."""
    for server, _ in proxy._servers:
        for protocol in server.connections:
            assert isinstance(protocol.transport, asyncio.Transport)
            protocol.transport.pause_reading()
