"""Gemini callers who do not ask for `alt=sse`: their stream is one JSON array, which arrives element by element."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from proxy.config.load import Sources, load
from proxy.server.app import Running, start
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import Answer, sse
from tests.support.answers import json as json_answer
from tests.support.proxied import Proxied
from tests.support.proxy import provider, settings
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1beta/models/gemini:streamGenerateContent"
QUESTION = {"contents": [{"role": "user", "parts": [{"text": "canary-prompt"}]}]}
PATIENCE_S = 10.0

ONE = b'[{"candidates":[{"content":{"parts":[{"text":"one "}],"role":"model"},"index":0}],"vendor_x":1}\r\n'
TWO = b',\r\n{"candidates":[{"content":{"parts":[{"text":"two"}],"role":"model"},"finishReason":"STOP"}]}\r\n]\r\n'


def array(body: bytes, *holds: int) -> Answer:
    return Answer(headers=(("Content-Type", "application/json; charset=UTF-8"),), body=body, holds=holds)


async def test_each_element_leaves_when_it_comes_untouched(shared_proxy: Proxied) -> None:
    shared_proxy.upstream.respond_with(array(ONE + TWO, len(ONE)))

    async with (
        asyncio.timeout(PATIENCE_S),
        aiohttp.ClientSession(shared_proxy.url) as http,
        http.post(PATH, json=QUESTION) as response,
    ):
        first = await response.content.readany()
        (await shared_proxy.upstream.exchange()).release()
        rest = await response.content.read()

    assert first.strip() == ONE.strip()
    assert first + rest == ONE + TWO
    assert response.headers["Content-Type"].startswith("application/json")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def joining(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Running, ReplayServer, ReplayServer]]:
    """A proxy that asks a second provider, of another API, to go on with what the first one left unfinished."""
    nothing = json_answer({}, status=500)
    async with ReplayServer(nothing) as gemini, ReplayServer(nothing) as other:
        fields = settings(
            [
                provider("gemini", "gemini", gemini.base_url),
                provider("other", "openai_chat", other.base_url + "/v1"),
            ],
            models=[
                {
                    "name": "gemini",
                    "targets": [{"provider": "gemini", "model": "m"}, {"provider": "other", "model": "m"}],
                }
            ],
            retry={"attempts": 1},
            breaker={"failures": 0},
            on_cut="restart",
        )
        file: Path = tmp_path_factory.mktemp("joining") / "proxy.yaml"
        file.write_text(yaml.safe_dump(fields))
        running = await start(load(Sources(file, environ={})).config)
        try:
            yield running, gemini, other
        finally:
            await running.stop()


@pytest.mark.parametrize("closing", [b"", b"]", b',{"error":{"code":500,"message":"no","status":"INTERNAL"}}]'])
async def test_a_second_answer_goes_on_within_the_array(
    joining: tuple[Running, ReplayServer, ReplayServer], closing: bytes
) -> None:
    running, gemini, other = joining
    gemini.respond_with(array(ONE + closing))
    other.respond_with(sse(chat_chunk("one ") + chat_stream(2)))

    async with (
        asyncio.timeout(PATIENCE_S),
        aiohttp.ClientSession(running.url) as http,
        http.post(PATH, json=QUESTION) as response,
    ):
        elements = json.loads(await response.read())

    candidates = [element["candidates"][0] for element in elements]
    text = "".join(part["text"] for candidate in candidates for part in candidate["content"]["parts"])
    assert text == "one word word "
    assert candidates[-1]["finishReason"] == "STOP"
