import asyncio
import json
import os
import sys

import aiohttp
import pytest

from proxy.demo import BASE_PATHS, DemoServer
from proxy.demo.server import DELAY_VARIABLE, RATE_VARIABLE
from tests.demo.conftest import Demo
from tests.demo.test_delivery import REQUESTS, stream_of


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_root_is_the_manual(demo: Demo) -> None:
    status, text = await fetch(f"{demo.url}/")

    assert status == 200
    assert "[[demo tokens=200 rate=0]]" in text


async def test_stats_count_what_was_answered(demo: Demo) -> None:
    await stream_of(demo, "[[demo tokens=5]]")

    status, text = await fetch(f"{demo.url}/stats")
    assert status == 200
    assert json.loads(text) == {"started": 1, "live": 0, "completed": 1, "failed": 0, "aborted": 0, "tokens": 5}


async def test_unknown_path_is_not_found(demo: Demo) -> None:
    status, text = await fetch(f"{demo.url}/v1/nothing")

    assert status == 404
    assert "Invalid URL" in json.loads(text)["error"]["message"]


async def test_unknown_verb_is_not_found(demo: Demo) -> None:
    url = f"{demo.url}/v1beta/models/demo:embedContent"
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as response:
        assert response.status == 404


@pytest.mark.parametrize("api", REQUESTS)
async def test_same_request_gets_the_same_bytes_from_every_server(demo: Demo, api: str) -> None:
    other = DemoServer(rate=0, delay_s=0)
    try:
        twin = Demo(other, await other.start())

        assert await stream_of(demo, "Tell me", api) == await stream_of(twin, "Tell me", api)
    finally:
        await other.stop()


async def test_seed_changes_the_answer(demo: Demo) -> None:
    assert await stream_of(demo, "Tell me") != await stream_of(demo, "Tell me [[demo seed=2]]")


async def test_thinking_model_always_thinks(demo: Demo) -> None:
    body = {"model": "demo-thinking", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{demo.url}/v1/chat/completions", json=body) as response,
    ):
        assert b"reasoning_content" in await response.read()


async def test_fault_with_times_happens_that_often(demo: Demo) -> None:
    bodies = [await stream_of(demo, "[[demo tokens=4 fault=cut times=2]]") for _ in range(3)]

    assert [body.endswith(b"[DONE]\n\n") for body in bodies] == [False, False, True]


async def test_stop_cuts_what_is_open() -> None:
    server = DemoServer(rate=0, delay_s=0)
    demo = Demo(server, await server.start())
    stream = asyncio.get_running_loop().create_task(stream_of(demo, "[[demo fault=stall@2 tokens=4]]"))
    await demo.until(lambda stats: stats.tokens == 2)

    async with asyncio.timeout(30):
        await server.stop()

    with pytest.raises(aiohttp.ClientError):
        await stream
    assert server.stats.live == 0


async def test_pace_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RATE_VARIABLE, "7.5")
    monkeypatch.setenv(DELAY_VARIABLE, "0.5")

    server = DemoServer()

    assert (server._pace.rate, server._pace.delay_s) == (7.5, 0.5)


async def test_runs_alone_as_a_module() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy.demo", "--rate", "0", "--delay", "0"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().split() for _ in range(4)]
        urls = {kind: url for kind, url in lines}

        assert {kind: urls[kind].removeprefix(urls["anthropic"]) for kind in BASE_PATHS} == BASE_PATHS
        assert (await fetch(urls["manual"]))[0] == 200
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
