"""`top` as a person sees it: a real terminal (tmux), a real proxy, real streams, real keys."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import yaml

from proxy.config.load import Sources, load
from proxy.server.app import Running, start
from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import chat_chunk, chat_stream
from tests.support.answers import sse
from tests.support.proxy import PROJECT, provider, settings
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is missing: apt-get install tmux")

FIRST = chat_chunk("one ")
HELD = sse(FIRST + chat_stream(3), holds=(len(FIRST),))
PATIENCE_S = 30.0


class Terminal:
    """`top` in a tmux of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *arguments: str) -> str:
        ran = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments], capture_output=True, text=True
        )
        return ran.stdout

    def start(self, url: str, *flags: str) -> None:
        command = [sys.executable, "-m", "proxy", "top", "--url", url, "--interval", "0.2", *flags]
        self.tmux(
            *("new-session", "-d", "-s", "top", "-x", "150", "-y", "20", "-c", str(PROJECT)),
            *("-e", "LC_ALL=C.UTF-8", *command),
        )

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "top", *keys)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-t", "top", "-x", str(width), "-y", str(height))

    def text(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "top")

    async def until(self, condition: Callable[[str], object]) -> str:
        """The screen, once it is so."""
        shown = ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition(shown := await asyncio.to_thread(self.text)):  # noqa: ASYNC110  it tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"the screen stayed\n{shown}")
        return shown


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "tmux")
    yield made
    made.tmux("kill-server")


@pytest.fixture
async def upstream() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(HELD) as server:
        yield server


async def proxy(upstream: ReplayServer, folder: Path, **more: object) -> Running:
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(settings([provider("chat", "openai_chat", upstream.base_url + "/v1")], **more)))
    return await start(load(Sources(file, environ={})).config)


async def test_a_person_sees_the_streams_and_kills_one(
    terminal: Terminal, upstream: ReplayServer, tmp_path: Path
) -> None:
    running = await proxy(upstream, tmp_path)
    calls = [RawCall(running.port) for _ in range(3)]
    try:
        for call, dialect in zip(calls, ("openai_chat", "anthropic", "canonical"), strict=True):
            await call.send(request_bytes(dialect, "chat"))
            await call.read_until(b"one")

        terminal.start(running.url, "--sort", "age")
        shown = await terminal.until(lambda text: "3 calls: 3 streaming" in text)
        assert re.findall(r"(\w+)  +chat @chat/upstream-model", shown) == [
            "openai_chat",
            "anthropic",
            "canonical",
        ]
        assert "*AGE" in shown

        terminal.press("Down", "k")
        asked = await terminal.until(lambda text: "? y/N" in text)
        assert re.search(r"kill [0-9a-f]{24} \(chat @chat/upstream-model, streaming\)\? y/N", asked)
        terminal.press("n")
        await terminal.until(lambda text: "not killed" in text)
        terminal.press("k", "y")
        await terminal.until(lambda text: "outcome killed" in text and "2 calls" in text)
        await calls[1].read_until(b"\r\n0\r\n\r\n")
        assert b"event: error" in bare_body(calls[1].received)

        terminal.resize(40, 6)
        await terminal.until(lambda text: re.search(r"^STATE +\*AGE +GAP +MODEL", text, re.MULTILINE))
        terminal.press("q")
        await terminal.until(lambda text: not text)
    finally:
        for call in calls:
            call.leave()
        await running.stop()


async def test_a_proxy_that_goes_is_shown_and_found_again(
    terminal: Terminal, upstream: ReplayServer, tmp_path: Path
) -> None:
    running = await proxy(upstream, tmp_path)
    terminal.start(running.url)
    await terminal.until(lambda text: "0 calls" in text)

    port = running.port
    await running.stop()
    await terminal.until(lambda text: "does not answer: Connection refused; trying again" in text)
    running = await proxy(upstream, tmp_path, listen=f"127.0.0.1:{port}")
    try:
        await terminal.until(lambda text: "0 calls" in text)
        terminal.press("q")
        await terminal.until(lambda text: not text)
    finally:
        await running.stop()
