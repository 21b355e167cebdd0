"""Limits as callers meet them: refusals in their dialect, the queue, full providers, and who is never refused."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.calls import RawCall, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import sse
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

FIRST = chat_chunk("one ")
HELD = sse(FIRST + chat_stream(3), holds=(len(FIRST),))
KEY = "key-of-the-tests-0123456789"
USAGE = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":60,"completion_tokens":40,"total_tokens":100}}\n\n'
)


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(HELD) as server:
        yield server


def config(upstream: ReplayServer, **more: Any) -> dict[str, Any]:
    return settings([provider("chat", "openai_chat", upstream.base_url + "/v1")], **more)


def keyed(**limits: int) -> dict[str, Any]:
    return {"auth": {"keys": [{"name": "team", "key": "env:TEAM_KEY", **limits}]}}


async def called(proxy: ProxyProcess, dialect: str = "openai_chat", mark: bytes = b"\r\n\r\n") -> RawCall:
    """A call whose answer has come as far as `mark`."""
    call = RawCall(proxy.port)
    request = request_bytes(dialect, "chat").replace(
        b"\r\n\r\n", f"\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode(), 1
    )
    await call.send(request)
    if mark:
        await call.read_until(mark)
    return call


def status(call: RawCall) -> int:
    return int(call.received.split(b" ", 2)[1])


def retry_after(call: RawCall) -> int:
    found = re.search(rb"(?i)\r\nretry-after: ([0-9]+)\r\n", call.received)
    assert found is not None, call.received
    return int(found[1])


def leave(*calls: RawCall) -> None:
    for call in calls:
        call.leave()


async def text(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.text()


async def test_one_too_many_is_refused_in_its_dialect_and_operators_are_answered(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    async with proxy_process(config(upstream, limits={"max_streams": 1}), tmp_path) as proxy:
        running = await called(proxy, mark=b"one")

        refused = {dialect: await called(proxy, dialect) for dialect in ("openai_chat", "anthropic", "canonical")}

        assert status(refused["openai_chat"]) == 503
        assert status(refused["anthropic"]) in (503, 529)
        assert b'"overloaded_error"' in refused["anthropic"].received
        assert status(refused["canonical"]) == 503
        assert {retry_after(call) for call in refused.values()} == {1}
        assert 'llm_proxy_limited_total{limit="max_streams"} 3.0' in await text(f"{proxy.url}/metrics")
        assert await text(f"{proxy.url}/healthz") == "ok\n"
        assert await text(f"{proxy.url}/readyz") == "ready\n"
        assert len(upstream.exchanges) == 1
        leave(running, *refused.values())


async def test_a_queued_call_goes_when_another_ends_and_one_who_left_takes_nothing(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    limits = {"max_streams": 1, "queue_size": 2, "queue_wait_s": 30}
    async with proxy_process(config(upstream, limits=limits), tmp_path) as proxy:
        first = await called(proxy, mark=b"one")
        leaving, patient = await called(proxy, mark=b""), await called(proxy, mark=b"")
        await metric(proxy, "llm_proxy_queued_calls 2.0")

        leaving.leave()
        await metric(proxy, "llm_proxy_queued_calls 1.0")
        upstream.exchanges[0].release()
        await first.read_until(b"[DONE]")

        await patient.read_until(b"one")
        assert len(upstream.exchanges) == 2
        leave(first, patient)


async def metric(proxy: ProxyProcess, line: str) -> None:
    async with asyncio.timeout(30):
        while line not in await text(f"{proxy.url}/metrics"):  # noqa: ASYNC110  another process tells nobody
            await asyncio.sleep(0.02)


async def ended(proxy: ProxyProcess, count: int) -> None:
    """The line is written when everything has been counted."""
    async with asyncio.timeout(30):
        while proxy.log.read_text().count('"outcome":') < count:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.02)


async def test_a_stop_tells_those_who_wait(upstream: ReplayServer, tmp_path: Path) -> None:
    limits = {"max_streams": 1, "queue_size": 2, "queue_wait_s": 60}
    drain = {"lame_duck_s": 0, "deadline_s": 0.2}
    async with proxy_process(config(upstream, limits=limits, drain=drain), tmp_path) as proxy:
        first = await called(proxy, mark=b"one")
        waiting = await called(proxy, mark=b"")
        await metric(proxy, "llm_proxy_queued_calls 1.0")

        proxy.process.terminate()
        await waiting.read_to_end()
        await first.read_to_end()

        assert status(waiting) == 503
        assert retry_after(waiting) == 1
        leave(first, waiting)


@pytest.mark.parametrize(
    ("limits", "code"), [({"max_streams": 1}, b"key_max_streams"), ({"requests_per_minute": 1}, b"requests_per_minute")]
)
async def test_a_key_that_reached_its_limit_gets_429(
    limits: dict[str, int], code: bytes, upstream: ReplayServer, tmp_path: Path
) -> None:
    async with proxy_process(config(upstream, **keyed(**limits)), tmp_path, environ={"TEAM_KEY": KEY}) as proxy:
        running = await called(proxy, mark=b"one")

        refused = await called(proxy)

        assert status(refused) == 429
        assert code in refused.received
        assert 1 <= retry_after(refused) <= 60
        leave(running, refused)


async def test_reported_tokens_use_up_a_key(upstream: ReplayServer, tmp_path: Path) -> None:
    body = chat_stream(1).replace(b"data: [DONE]", USAGE + b"data: [DONE]")
    upstream.respond_with(sse(body))
    limits = keyed(tokens_per_minute=150)
    async with proxy_process(config(upstream, **limits), tmp_path, environ={"TEAM_KEY": KEY}) as proxy:
        answers = []
        for number in range(3):
            call = await called(proxy)
            if status(call) == 200:
                await call.read_until(b"[DONE]")
                await ended(proxy, number + 1)
            answers.append((status(call), b"tokens_per_minute" in call.received))
            call.leave()

    assert answers == [(200, False), (200, False), (429, True)]


async def test_a_full_provider_gives_way_to_the_next_target_and_then_refuses(
    upstream: ReplayServer, tmp_path: Path
) -> None:
    names = ("small", "spare")
    providers = [provider(name, "openai_chat", f"{upstream.base_url}/{name}", max_streams=1) for name in names]
    both = settings(providers)
    both["models"] = [{"name": "chat", "targets": [{"provider": name, "model": "m"} for name in names]}]
    async with proxy_process(both, tmp_path) as proxy:
        calls = [await called(proxy, mark=b"one") for _ in names]

        refused = await called(proxy)

        assert [exchange.path.split("/")[1] for exchange in upstream.exchanges] == list(names)
        assert status(refused) == 503
        assert b"provider_max_streams" in refused.received
        leave(*calls, refused)


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
async def test_a_provider_without_a_free_connection_is_waited_for_and_then_refused(
    dialect: str, upstream: ReplayServer, tmp_path: Path
) -> None:
    """A stream is a connection: `max_streams` of a provider bounds its pool."""
    chat = provider("chat", "openai_chat", upstream.base_url + "/v1", max_streams=1)
    limits = {"queue_size": 1, "queue_wait_s": 2.0}
    async with proxy_process(settings([chat], limits=limits), tmp_path) as proxy:
        running = await called(proxy, mark=b"one")
        began = time.monotonic()

        waiting = await called(proxy, dialect)
        waited_s = time.monotonic() - began
        queued = await called(proxy, dialect, mark=b"")
        await metric(proxy, "llm_proxy_queued_calls 1.0")
        refused = await called(proxy, dialect)

        assert 1.95 < waited_s < 20
        assert status(waiting) in (503, 529)
        assert status(refused) in (503, 529), "the queue has one place"
        assert {retry_after(waiting), retry_after(refused)} == {1}
        assert b"The provider has as many calls in progress" in waiting.received
        assert len(upstream.exchanges) == 1
        assert 'llm_proxy_upstream_connections{state="busy"} 1.0' in await text(f"{proxy.url}/metrics")
        upstream.exchanges[0].release()
        await running.read_until(b"[DONE]")
        assert b"one" in await queued.read_until(b"one")
        leave(running, waiting, queued, refused)
