"""A call that has ended is gone: nothing of it waits for the garbage collector, whose full runs stop every stream.

A frame that keeps an exception whose traceback keeps the frame is all it takes; each refused call, and each caller that
left, kept sixty objects in that way.
"""

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
from tests.support.answers import Answer, json, sse
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic"]
FIRST = chat_chunk("one ")
CALLS = 5


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(sse(chat_stream(3))) as server:
        yield server


@pytest.fixture
async def proxy(upstream: ReplayServer, tmp_path: Path) -> AsyncIterator[Running]:
    file = tmp_path / "proxy.yaml"
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
    file.write_text(yaml.safe_dump(settings([chat], retry={"max_attempts": 1})))
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


async def _call(proxy: Running, dialect: str, until: bytes) -> None:
    call = RawCall(proxy.port)
    await call.send(request_bytes(dialect, "chat"))
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

    ours = Counter(type(one).__name__ for one in garbage if type(one).__module__.startswith(("proxy.", "aiohttp.")))
    assert not ours, "frames: " + str({one.f_code.co_qualname for one in garbage if isinstance(one, FrameType)})
