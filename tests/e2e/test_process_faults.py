"""What the process itself may lack: descriptors, somebody who takes its log, a clock that goes evenly, quiet neighbours."""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.answers import sse, sse_events
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

INTERVAL_S = 0.05
EVENTS = 60
SLOW = sse(chat_chunk("word ") * EVENTS + CHAT_END, pieces=sse_events, interval_s=INTERVAL_S)
"""Three seconds."""
IDLE_CALLERS = 300


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(SLOW) as server:
        yield server


def config(upstream: ReplayServer, **more: object) -> dict[str, object]:
    return settings([provider("chat", "openai_chat", upstream.base_url + "/v1")], **more)


async def _streams(proxy: ProxyProcess) -> list[RawCall]:
    """One that passes through and one that is converted, both begun."""
    calls = [RawCall(proxy.port) for _ in range(2)]
    for call, dialect in zip(calls, ("openai_chat", "anthropic"), strict=True):
        await call.send(request_bytes(dialect, "chat"))
        await call.read_until(b"word")
    return calls


async def _words(calls: list[RawCall]) -> list[int]:
    """How many words of each stream came, which must be whole."""
    bodies = [bare_body(await call.read_until(b"0\r\n\r\n", patience_s=30)) for call in calls]
    for call in calls:
        call.leave()
    return [body.count(b"word ") for body in bodies]


async def _health(proxy: ProxyProcess) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/healthz") as response:
        return response.status


def _processor_s(proxy: ProxyProcess) -> float:
    fields = Path(f"/proc/{proxy.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_without_descriptors_streams_flow_on_and_callers_are_served_once_there_are_some(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    async with proxy_process(config(upstream), tmp_path) as proxy:
        streams = await _streams(proxy)
        limit = proxy.open_files() + 10
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (limit, limit))

        began, used_s = time.monotonic(), _processor_s(proxy)
        crowd = [RawCall(proxy.port) for _ in range(100)]
        for one in crowd:
            await one.send(b"")
        assert await _words(streams) == [EVENTS, EVENTS]
        took_s, used_s = time.monotonic() - began, _processor_s(proxy) - used_s
        for one in crowd:
            one.leave()
        async with asyncio.timeout(20):
            assert await _health(proxy) == 200
        log = proxy.log.read_text()

    assert used_s < 0.5 * took_s, "the accepting loop spins"
    assert log.count("descriptor") == 1, log[-3000:]
