"""Two proxies that count one key's calls together in a real Redis, which then dies and comes back."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from proxy.config.load import Sources, load
from proxy.server.app import Running, start
from tests.e2e.calls import BODIES
from tests.e2e.streams import chat_stream
from tests.support.answers import sse
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer
from tests.test_limits_redis import RedisServer, needs_server

pytest.importorskip("redis", reason="needs the extra: pip install '.[redis]'")
pytestmark = needs_server

KEY = "key-of-the-tests-0123456789"
PER_MINUTE = 6


@contextlib.asynccontextmanager
async def two_proxies(store: str, tmp_path: Path, **limits: int) -> AsyncIterator[list[Running]]:
    async with ReplayServer(sse(chat_stream(1))) as upstream, contextlib.AsyncExitStack() as resources:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        keys = {"keys": [{"name": "team", "key": "env:TEAM_KEY", **limits}]}
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump(settings([chat], auth=keys, limits={"store": store})))
        config = load(Sources(file, environ={"TEAM_KEY": KEY})).config
        running = []
        for _ in range(2):
            proxy = await start(config)
            resources.push_async_callback(proxy.stop)
            running.append(proxy)
        yield running


async def ask(proxy: Running, dialect: str = "openai_chat") -> httpx.Response:
    path, fields = BODIES[dialect]
    async with httpx.AsyncClient(timeout=30) as client:
        headers = {"authorization": f"Bearer {KEY}"}
        return await client.post(proxy.url + path, json={"model": "chat", **fields}, headers=headers)


async def metric(proxy: Running, line: str) -> None:
    """Once the metrics have this line."""
    async with asyncio.timeout(30), httpx.AsyncClient(timeout=30) as client:
        while line not in (await client.get(f"{proxy.url}/metrics")).text:  # noqa: ASYNC110  a gauge tells nobody
            await asyncio.sleep(0.02)


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisServer]:
    monkeypatch.setattr("proxy.limits_redis.ASK_TIMEOUT_S", 5.0)  # counting is the subject, on a busy machine
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_together_they_let_exactly_the_limit_through(store: RedisServer, tmp_path: Path) -> None:
    async with two_proxies(store.url, tmp_path, requests_per_minute=PER_MINUTE) as proxies:
        answers = await asyncio.gather(*(ask(proxies[number % 2]) for number in range(2 * PER_MINUTE)))

        assert Counter(answer.status_code for answer in answers) == {200: PER_MINUTE, 429: PER_MINUTE}
        refused: list[Any] = [answer for answer in answers if answer.status_code == 429]
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        in_anthropic = await ask(proxies[1], "anthropic")
        assert (in_anthropic.status_code, in_anthropic.json()["error"]["type"]) == (429, "rate_limit_error")


async def test_without_the_store_each_counts_for_itself_and_says_so_until_it_is_back(
    store: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "proxy.limits")
    async with two_proxies(store.url, tmp_path, requests_per_minute=PER_MINUTE) as proxies:
        before = [await ask(proxies[number % 2]) for number in range(PER_MINUTE)]
        assert [answer.status_code for answer in before] == [200] * PER_MINUTE
        assert (await ask(proxies[0])).status_code == 429

        await store.stop()
        alone = [[await ask(proxy) for _ in range(PER_MINUTE)] for proxy in proxies]

        # Each knows of its own half: it lets the other half through, and then refuses.
        for answers in alone:
            half = PER_MINUTE // 2
            assert [answer.status_code for answer in answers] == [200] * half + [429] * half
        for proxy in proxies:
            await metric(proxy, 'llm_proxy_limit_store_up{store="limits"} 0.0')
        assert sum("store of limits does not answer" in record.message for record in caplog.records) == 2

        await store.start()
        for proxy in proxies:
            await metric(proxy, 'llm_proxy_limit_store_up{store="limits"} 1.0')
        assert sum("answers again" in record.message for record in caplog.records) == 2
