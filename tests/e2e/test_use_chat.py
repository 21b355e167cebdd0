"""`useChat` of `@ai-sdk/react`, versions for `ai` 5, 6 and 7, on a page of another origin in a real browser."""

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from tests.playground.browser import CHROMIUM, Browser
from tests.support import node
from tests.support.answers import Answer, sse
from tests.support.corpus import ROOT
from tests.support.exchange import Exchange
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(not node.has_page(), reason=node.MISSING),
]

VERSIONS = {
    "5": ("ai-sdk-react-5", "ai-sdk-react-5/node_modules/ai"),
    "6": ("ai-sdk-react-6", "ai-sdk-react-6/node_modules/ai"),
    "7": ("@ai-sdk/react", "ai"),
}
"""By version of `ai`: the package with `useChat`, and that version's `ai`."""

HTML = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><div id=root></div><script src={}></script>"


def fixture(name: str) -> bytes:
    return (ROOT / "tests/fixtures/anthropic" / f"{name}.sse").read_bytes()


def bundle(version: str, file: Path) -> None:
    hook, sdk = VERSIONS[version]
    modules = node.BROWSER / "node_modules"
    choices = [f"--alias:use-chat={hook}", f"--alias:chat-sdk={modules / sdk}", f"--outfile={file}"]
    command: list[str | Path] = [modules / ".bin/esbuild", "page.js", "--bundle", "--log-level=warning", *choices]
    subprocess.run(command, cwd=node.BROWSER, check=True)


class Stage:
    """A provider, the proxy, the app's own server, and a browser that opens its page."""

    def __init__(self, upstream: ReplayServer, proxy: ProxyProcess, app: BaseTestServer, browser: Browser) -> None:
        self.upstream = upstream
        self._proxy = proxy
        self._app = app
        self.page = browser

    async def open(self, version: str, *options: str) -> None:
        self.page.problems.clear()
        query = "&".join([f"api={self._proxy.url}/ui/chat", *options])
        await self.page.open(f"{self._app.make_url('/')}{version}?{query}")
        await self.page.until("window.chat")

    async def ask(self, text: str = "hi") -> None:
        await self.page.run(f"void chat.sendMessage({{text: {json.dumps(text)}}})")

    async def settled(self, status: str = "ready") -> None:
        await self.page.until(f"document.querySelector('main').dataset.status === '{status}'")

    async def shown(self, part: str) -> str:
        """The text of all parts of this type in answers."""
        path = f"[data-role=assistant] [data-part={part}]"
        found = await self.page.run(f"[...document.querySelectorAll('{path}')].map((one) => one.textContent).join('')")
        assert isinstance(found, str)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("use-chat")
    for version in VERSIONS:
        bundle(version, folder / f"{version}.js")

    async def page(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name.endswith(".js"):
            return web.FileResponse(folder / name)
        return web.Response(text=HTML.format(f"{name}.js"), content_type="text/html")

    site = web.Application()
    site.router.add_get("/{name}", page)
    async with ReplayServer(sse(b"")) as upstream, TestServer(site) as app:
        origin = str(app.make_url("/")).rstrip("/")
        providers = [provider("anthropic", "anthropic", upstream.base_url)]
        config = settings(providers, default_model="anthropic", retry={"attempts": 1}, cors={"origins": [origin]})
        async with proxy_process(config, folder) as proxy, Browser(folder / "browser") as browser:
            yield Stage(upstream, proxy, app, browser)


@pytest.mark.parametrize("version", VERSIONS)
async def test_text_and_reasoning_grow_on_the_page(stage: Stage, version: str) -> None:
    body = fixture("reasoning")
    half = body.rindex(b"event: content_block_delta")
    stage.upstream.respond_with(sse(body, holds=(half,)))
    number = len(stage.upstream.exchanges)
    await stage.open(version)

    await stage.ask()
    await stage.settled("streaming")
    await stage.page.until("document.querySelector('[data-part=reasoning]')?.textContent")
    (await stage.upstream.exchange(number)).release()
    await stage.settled()

    told = "".join(one["delta"].get("text", "") for one in events(body) if one["type"] == "content_block_delta")
    thought = "".join(one["delta"].get("thinking", "") for one in events(body) if one["type"] == "content_block_delta")
    assert (await stage.shown("text"), await stage.shown("reasoning")) == (told, thought)
    assert stage.page.problems == []


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tool_runs_on_the_page_and_the_answer_goes_on(stage: Stage, version: str) -> None:
    number = len(stage.upstream.exchanges)

    def answer(exchange: Exchange) -> Answer:
        return sse(fixture("text" if b"tool_result" in exchange.body else "tool-call"))

    stage.upstream.respond_with(answer)
    await stage.open(version)

    await stage.ask()
    second = (await stage.upstream.exchange(number + 1)).json()
    await stage.settled()

    call = next(block for message in second["messages"] for block in message["content"] if block["type"] == "tool_use")
    result = second["messages"][-1]["content"][0]
    assert (result["tool_use_id"], call["name"]) == (call["id"], "get_weather")
    assert "celsius" in json.dumps(result["content"])
    assert await stage.shown("text")
    assert "output-available" in await stage.shown(f"tool-{call['name']}")
    assert stage.page.problems == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_midway_is_the_hooks_error(stage: Stage, version: str) -> None:
    stage.upstream.respond_with(sse(fixture("mid-stream-error")))
    await stage.open(version)

    await stage.ask()
    await stage.settled("error")

    assert await stage.shown("text") == "Part"
    assert await stage.page.run("document.querySelector('main').dataset.error")


@pytest.mark.parametrize("version", VERSIONS)
async def test_stop_closes_the_upstream(stage: Stage, version: str) -> None:
    body = fixture("text")
    hold = body.rindex(b"event: content_block_delta")
    stage.upstream.respond_with(sse(body, holds=(hold,)))
    number = len(stage.upstream.exchanges)
    await stage.open(version)

    await stage.ask()
    await stage.page.until("document.querySelector('[data-role=assistant] [data-part=text]')?.textContent")
    await stage.page.run("void chat.stop()")
    exchange = await stage.upstream.exchange(number)
    await exchange.until(lambda: exchange.departure is not None)
    await stage.settled()

    assert await stage.shown("text")


@pytest.mark.parametrize("version", VERSIONS)
async def test_there_is_nothing_to_resume(stage: Stage, version: str) -> None:
    number = len(stage.upstream.exchanges)

    await stage.open(version, "resume")
    await stage.settled()

    assert await stage.page.run("chat.messages.length") == 0
    assert len(stage.upstream.exchanges) == number
    assert stage.page.problems == []
