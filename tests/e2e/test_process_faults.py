"""What the process itself may lack: descriptors, somebody who takes its log, a clock that goes evenly, quiet neighbours."""

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk, chat_stream
from tests.support.answers import sse, sse_events
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

INTERVAL_S = 0.05
EVENTS = 40
SLOW = sse(chat_chunk("word ") * EVENTS + CHAT_END, pieces=sse_events, interval_s=INTERVAL_S)
"""Two seconds."""
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
        async with asyncio.timeout(30):
            assert await _health(proxy) == 200
        log = proxy.log.read_text()

    assert used_s < 0.5 * took_s, "the accepting loop spins"
    assert log.count("descriptor") == 1, log[-3000:]


# --- a log that nobody takes


def _full_pipe() -> tuple[int, int]:
    """Both ends of a pipe that takes no further byte."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


async def test_a_log_that_nobody_takes_holds_up_nothing(upstream: ReplayServer, tmp_path: Path) -> None:
    reader, writer = _full_pipe()
    with os.fdopen(reader, "rb") as taken:
        async with proxy_process(config(upstream), tmp_path, log_to=writer) as proxy:
            os.close(writer)
            streams = await _streams(proxy)
            upstream.respond_with(sse(chat_stream(3)))
            for _ in range(20):
                call = RawCall(proxy.port)
                await call.send(request_bytes("anthropic", "chat"))
                await call.read_until(b"message_stop")
                call.leave()
            assert await _words(streams) == [EVENTS, EVENTS]
            assert await _health(proxy) == 200

            lines = asyncio.get_running_loop().run_in_executor(None, taken.read)
            proxy.process.terminate()
            assert await proxy.process.wait() == 0
            assert (await lines).count(b'"outcome":"completed"') == 22


async def test_a_stop_does_not_wait_for_a_log_that_nobody_takes(upstream: ReplayServer, tmp_path: Path) -> None:
    reader, writer = _full_pipe()
    try:
        async with proxy_process(config(upstream), tmp_path, log_to=writer) as proxy:
            assert await _words(await _streams(proxy)) == [EVENTS, EVENTS]

            proxy.process.terminate()
            async with asyncio.timeout(30):
                assert await proxy.process.wait() == 0
    finally:
        os.close(reader)
        os.close(writer)


# --- a clock that is set


async def test_setting_the_clock_neither_ends_a_stream_nor_keeps_one(upstream: ReplayServer, tmp_path: Path) -> None:
    brief = config(upstream, timeouts={"first_event_s": 2, "idle_s": 2, "total_s": 20}, heartbeat_s=1)
    async with proxy_process(brief, tmp_path, module="tests.support.jumping_clock") as proxy:
        streams = await _streams(proxy)
        proxy.process.send_signal(signal.SIGUSR1)
        upstream.respond_with(sse(chat_chunk("one ") + chat_stream(3), holds=(len(chat_chunk("one ")),)))
        held = RawCall(proxy.port)
        await held.send(request_bytes("anthropic", "chat"))
        await held.read_until(b"one")
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGUSR2)

        answer = await held.read_until(b"event: error", patience_s=15)

        assert b"silent for 2 s" in answer
        assert 1.8 < time.monotonic() - began < 10
        assert await _words(streams) == [EVENTS, EVENTS]
        held.leave()


# --- quiet neighbours


async def test_many_idle_and_half_open_connections_hold_up_nobody(upstream: ReplayServer, tmp_path: Path) -> None:
    async with proxy_process(config(upstream), tmp_path) as proxy:
        files, memory = proxy.open_files(), proxy.resident_bytes()
        idle = [RawCall(proxy.port) for _ in range(IDLE_CALLERS)]
        for number, one in enumerate(idle):
            await one.send(b"GET /healthz HTTP/1.1\r\nHost: proxy\r\n\r\n" if number % 3 else b"POST /v1/chat")
        for number, one in enumerate(idle):
            if number % 3:
                await one.read_until(b"ok\n")

        assert proxy.open_files() >= files + IDLE_CALLERS
        assert await _words(await _streams(proxy)) == [EVENTS, EVENTS]
        assert (proxy.resident_bytes() - memory) / IDLE_CALLERS < 60_000
        for one in idle:
            one.leave()
