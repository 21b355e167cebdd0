"""Large events pass whole, and many large answers that are left at once hold nobody up."""

import asyncio
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from tests.e2e.calls import RawCall, bare_body, request_bytes
from tests.e2e.streams import CHAT_END, chat_chunk
from tests.support.answers import sse
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.support.replay import ReplayServer

DIALECTS = ["openai_chat", "anthropic", "canonical"]
"""Callers of an OpenAI Chat upstream: one passes through, two are converted."""
MIB = 1024 * 1024
WORDS = "".join(f"{number:07d} " for number in range(MIB))
"""8 MiB of text, no part of which is like another."""


async def answer(call: RawCall) -> bytes:
    """The body of the answer; `RawCall.read_until` is made for short ones."""
    received = bytearray()
    async with asyncio.timeout(30):
        while not received.endswith(b"\r\n0\r\n\r\n"):
            data = await call.read(MIB)
            assert data, bytes(received[-200:])
            call.received = b""
            received += data
    return bare_body(bytes(received))


def text_of(dialect: str, body: bytes) -> str:
    """All text of a stream."""
    text = ""
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            event = msgspec.json.decode(line[6:])
            match dialect:
                case "openai_chat":
                    text += "".join(choice["delta"].get("content", "") for choice in event.get("choices", []))
                case "anthropic":
                    text += event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""
                case _:
                    text += event["text"]
    return text


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_event_of_eight_mebibytes_passes(dialect: str, tmp_path: Path) -> None:
    """With the default limits."""
    stream = chat_chunk("before ") + chat_chunk(WORDS) + chat_chunk("after") + CHAT_END
    async with ReplayServer(sse(stream)) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            call = RawCall(proxy.port)
            await call.send(request_bytes(dialect, "chat"))

            body = await answer(call)

            call.leave()
    assert text_of(dialect, body) == f"before {WORDS}after"
    if dialect == "openai_chat":
        assert body == stream


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_event_over_the_limit_is_an_error_that_says_so(dialect: str, tmp_path: Path) -> None:
    """The limit is on what waits for its end: an event that ends in the read that goes beyond it is let through."""
    stream = chat_chunk("before ") + chat_chunk(WORDS) + chat_chunk("after") + CHAT_END
    async with ReplayServer(sse(stream)) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat], limits={"max_frame_bytes": 4 * MIB}), tmp_path) as proxy:
            call = RawCall(proxy.port)
            await call.send(request_bytes(dialect, "chat"))

            body = await answer(call)

            call.leave()
            await _logged(proxy, "protocol_error", 1)
    assert text_of(dialect, body) == "before "
    assert b"one event exceeds 4194304 bytes" in body
    assert body.count(b'"error":{') == 1


# --- many who leave at once

CALLERS = 30
LARGE = chat_chunk("word " * 200) * (5 * MIB // len(chat_chunk("word " * 200)))
"""5 MiB."""
MAX_HELD_S = 0.5
"""Of processor time, which others on this machine do not lengthen."""


class Pulse(threading.Thread):
    """Asks again and again whether the proxy is alive, and what it does before it says so."""

    def __init__(self, proxy: ProxyProcess) -> None:
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", proxy.port))
        self._is_over = threading.Event()
        self._usage = Path(f"/proc/{proxy.pid}/schedstat")
        self.held_s: list[float] = []
        """How much its loop's thread computed between a question and its answer."""

    def run(self) -> None:
        with self._socket as connection:
            while not self._is_over.is_set():
                before = self._computed_s()
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: proxy\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
                self.held_s.append(self._computed_s() - before)

    def _computed_s(self) -> float:
        return int(self._usage.read_text().split()[0]) / 1e9

    def stop(self) -> None:
        self._is_over.set()
        self.join()


async def _take(call: RawCall, size: int) -> None:
    async with asyncio.timeout(30):
        while size > 0:
            size -= len(await call.read(MIB))
            call.received = b""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_large_answers_that_are_left_at_once_hold_nobody_up(dialect: str, tmp_path: Path) -> None:
    async with ReplayServer(sse(LARGE + CHAT_END, holds=(len(LARGE),))) as upstream:
        chat = provider("chat", "openai_chat", upstream.base_url + "/v1")
        async with proxy_process(settings([chat]), tmp_path) as proxy:
            calls = [RawCall(proxy.port) for _ in range(CALLERS)]
            for call in calls:
                await call.send(request_bytes(dialect, "chat"))
            await asyncio.gather(*(_take(call, len(LARGE) // 2) for call in calls))
            pulse = Pulse(proxy)
            pulse.start()

            for call in calls:
                call.leave()
            for index in range(CALLERS):
                await (await upstream.exchange(index)).until_left()
            await _logged(proxy, "caller_left_midway", CALLERS)

            pulse.stop()
    assert max(pulse.held_s) < MAX_HELD_S


async def _logged(proxy: ProxyProcess, outcome: str, count: int) -> None:
    async with asyncio.timeout(30):
        while proxy.log.read_text().count(f'"outcome":"{outcome}"') < count:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.02)
