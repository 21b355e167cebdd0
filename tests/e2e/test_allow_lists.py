"""A key for some models reaches these models and nothing else, whatever way it asks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
import pytest_asyncio

from tests.e2e.streams import chat_stream
from tests.support.answers import sse
from tests.support.canary import CALLER_KEY as KEY
from tests.support.proxy import provider, proxy_process, settings
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, GEMINI = "/v1/chat/completions", "/v1beta/models/{}:streamGenerateContent"
HI = b'"messages":[{"role":"user","content":"hi"}]'


@dataclass
class Stage:
    http: httpx.AsyncClient
    upstream: ReplayServer

    async def ask(self, path: str, body: bytes = b"{}", method: str = "POST") -> httpx.Response:
        return await self.http.request(method, path, content=body, headers={"authorization": f"Bearer {KEY}"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("allow")
    async with ReplayServer(sse(chat_stream(2))) as upstream:
        bad = provider("bad", "openai_chat", "http://127.0.0.1:9/v1")
        config = settings([provider("chat", "openai_chat", upstream.base_url + "/v1"), bad])
        config["models"] = [
            {
                "name": "fast",
                "targets": [{"provider": "bad", "model": "first"}, {"provider": "chat", "model": "second"}],
            },
            {"name": "slow", "targets": [{"provider": "chat", "model": "slow-one"}]},
            {"name": "gpt-*", "targets": [{"provider": "chat"}]},
            {"name": "*", "targets": [{"provider": "chat"}]},
        ]
        config["auth"] = {"keys": [{"name": "team", "key": "env:TEAM_KEY", "models": ["fast", "gpt-*"]}]}
        async with (
            proxy_process(config, folder, environ={"TEAM_KEY": KEY}) as proxy,
            httpx.AsyncClient(base_url=proxy.url, timeout=30) as http,
        ):
            yield Stage(http, upstream)


@pytest.mark.parametrize(("asked", "sent"), [("fast", "second"), ("gpt-5-mini", "gpt-5-mini")])
async def test_what_is_allowed_reaches_its_own_targets_also_after_a_failover(
    asked: str, sent: str, stage: Stage
) -> None:
    start = len(stage.upstream.exchanges)

    response = await stage.ask(CHAT, b'{"model":"%b","stream":true,%b}' % (asked.encode(), HI))

    assert response.status_code == 200
    (exchange,) = stage.upstream.exchanges[start:]
    assert msgspec.json.decode(exchange.body)["model"] == sent
    assert response.headers["x-proxy-model"] == sent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, b'{"model":"slow",%b}' % HI),
        (CHAT, b'{"model":"anything",%b}' % HI),
        (CHAT, b'{"model":"chat/slow-one",%b}' % HI),
        (CHAT, b'{"model":"chat/gpt-5",%b}' % HI),
        (CHAT, b'{"model":"bad/x",%b}' % HI),
        (CHAT, b'{"model":"GPT-5",%b}' % HI),
        (CHAT, b'{"model":"gpt-5","models":["slow-one"],%b}' % HI),
        (CHAT, b'{"model":"fast","fallbacks":["slow-one"],%b}' % HI),
        (CHAT, b'{"model":"gpt-5","Model":"slow-one",%b}' % HI),
        (CHAT, b'{"model":"gpt-5","tools":[{"type":"image_generation","model":"slow-one"}],%b}' % HI),
        ("/v1/messages", b'{"model":"slow","max_tokens":5,%b}' % HI),
        ("/chat", b'{"model":"slow",%b}' % HI),
        ("/ui/chat", b'{"model":"slow",%b}' % HI),
        ("/ollama/api/chat", b'{"model":"slow",%b}' % HI),
        (GEMINI.format("slow"), b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'),
        ("/passthrough/chat/chat/completions", b'{"model":"gpt-5",%b}' % HI),
        ("/passthrough/chat/models", b""),
    ],
)
async def test_nothing_else_is_reached(path: str, body: bytes, stage: Stage) -> None:
    start = len(stage.upstream.exchanges)

    response = await stage.ask(path, body)

    assert response.status_code == 403, response.text
    assert stage.upstream.exchanges[start:] == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-5","model":"slow",%b}' % HI,
        b'{"model":"gpt-5","mod\\u0065l":"slow",%b}' % HI,
        b'{"model":"gpt-5 ",%b}' % HI,
        b'{"model":"gpt-5\\u0000",%b}' % HI,
    ],
)
async def test_a_model_that_could_be_read_in_two_ways_is_refused(body: bytes, stage: Stage) -> None:
    start = len(stage.upstream.exchanges)

    assert (await stage.ask(CHAT, body)).status_code == 400
    assert stage.upstream.exchanges[start:] == []


async def test_lists_show_what_is_allowed(stage: Stage) -> None:
    response = await stage.ask("/v1/models", b"", "GET")

    assert [model["id"] for model in response.json()["data"]] == ["fast", "gpt-*", "*"], (
        "patterns that cover some of it"
    )
