"""One proxy process for the whole fault matrix, and the three places to look at: caller, metrics, log."""

import asyncio
import contextlib
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import openai

from tests.e2e.fault_row import CHAT, WORDS
from tests.e2e.fault_upstream import FaultyUpstream
from tests.e2e.faults_before_body import DEADLINE_S
from tests.e2e.faults_in_stream import MAX_FRAME_BYTES, TOTAL_S
from tests.e2e.faults_of_callers import BODY_TIMEOUT_S, HEADER_TIMEOUT_S, MAX_BODY_BYTES
from tests.support.canary import CALLER_KEY, PROMPT
from tests.support.canary import PROVIDER_KEY as KEY
from tests.support.ports import refusing_socket
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings
from tests.upstream.certificates import Authority, server_context
from tests.upstream.raw_server import Peer, RawServer, answering

HEARTBEAT_S = 0.5
CALLER_STALL_S = 1.0
TIMEOUTS: dict[str, dict[str, float]] = {
    "plain": {},
    "brief": {"headers_s": DEADLINE_S, "first_event_s": DEADLINE_S, "idle_s": DEADLINE_S, "total_s": 5},
    "patient": {"first_event_s": 2 * HEARTBEAT_S},
    "short": {"total_s": TOTAL_S},
}
_STREAMS = re.compile(r"^llm_proxy_streams_total\{([^}]*)\} (?!0\.0)(\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_BUSY = re.compile(r'llm_proxy_upstream_connections\{state="busy"\} (\S+)')
_ACTIVE = re.compile(r'llm_proxy_active_streams\{dialect="\w+"\} (\S+)')

Ended = tuple[str, str]
"""Outcome, provider."""


@dataclass
class View:
    """What an SDK's user sees of one call."""

    text: str = ""
    is_finished: bool = False
    error: Exception | None = None
    status: int | None = None
    """Of the error answer; `None`: the answer had begun, or there was no error."""
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    duration_s: float = 0.0


@dataclass
class Stage:
    proxy: ProxyProcess
    upstream: FaultyUpstream
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    http: httpx.AsyncClient
    last: Counter[Ended] = field(default_factory=Counter)
    """What was counted when a test last looked."""
    is_counted: bool = False
    """Nothing has happened since."""

    async def begin(self) -> None:
        """Before a test's own call."""
        if not self.is_counted:
            await self.ended()
        self.is_counted = False

    async def ended(self, calls: int = 0) -> Counter[Ended]:
        """The calls counted since the last look, `calls` at least, once nothing is left of them: no busy connection."""
        async with asyncio.timeout(30):
            while True:
                counted = await self.metrics()
                new = counted.ended - self.last
                if new.total() >= calls and not counted.in_progress():
                    break
                await asyncio.sleep(0.05)
        self.last, self.is_counted = counted.ended, True
        return new

    async def ask(self, dialect: str, model: str, request_id: str) -> View:
        """A streamed call by the dialect's own SDK; `raw`: by an OpenAI caller that looks at the bytes."""
        view = View()
        began = time.monotonic()
        match dialect:
            case "raw":
                await self._ask_raw(view, model, request_id)
            case "openai_chat":
                await self._ask_openai(view, model, request_id)
            case _:
                await self._ask_anthropic(view, model, request_id)
        view.duration_s = time.monotonic() - began
        # Half a surrogate pair is no text: a test's report could not be printed.
        view.text = view.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return view

    async def _ask_raw(self, view: View, model: str, request_id: str) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
        answer = await self.http.post("/v1/chat/completions", json=body, headers={"x-request-id": request_id})
        assert answer.status_code == 200
        view.text = "".join(word for word in WORDS if word.encode() in answer.content)
        view.is_finished = CHAT.end in answer.content

    async def _ask_openai(self, view: View, model: str, request_id: str) -> None:
        try:
            stream = await self.openai.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": PROMPT}],
                stream=True,
                extra_headers={"x-request-id": request_id},
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    view.text += choice.delta.content or ""
                    view.is_finished = view.is_finished or choice.finish_reason is not None
        except openai.APIStatusError as error:
            view.error, view.status, view.headers = error, error.status_code, error.response.headers
        except openai.APIConnectionError:
            raise
        except openai.APIError as error:
            view.error = error

    async def _ask_anthropic(self, view: View, model: str, request_id: str) -> None:
        try:
            stream = await self.anthropic.messages.create(
                model=model,
                messages=[{"role": "user", "content": PROMPT}],
                max_tokens=100,
                stream=True,
                extra_headers={"x-request-id": request_id},
            )
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    view.text += event.delta.text
                view.is_finished = view.is_finished or event.type == "message_stop"
        except anthropic.APIStatusError as error:
            view.error, view.headers = error, error.response.headers
            view.status = None if error.status_code == 200 else error.status_code

    async def log_line(self, request_id: str) -> dict[str, Any]:
        """The access line of a call, once it is written."""
        wanted = f'"request_id":"{request_id}"'.encode()
        async with asyncio.timeout(30):
            while True:
                for line in self.proxy.log.read_bytes().splitlines():
                    if wanted in line and line.endswith(b"}") and b'"message":"call"' in line:
                        return msgspec.json.decode(line)
                await asyncio.sleep(0.01)

    def logged(self) -> int:
        """How much the log holds by now."""
        return self.proxy.log.stat().st_size

    async def logged_since(self, start: int, count: int) -> list[tuple[str, str, int, int]]:
        """Dialect, outcome, status and attempts of the access lines since then, once there are `count`."""
        async with asyncio.timeout(30):
            while True:
                lines = self.proxy.log.read_bytes()[start:].splitlines(keepends=True)
                calls = [line for line in lines if b'"message":"call"' in line and line.endswith(b"}\n")]
                if len(calls) >= count:
                    break
                await asyncio.sleep(0.01)
        read = [msgspec.json.decode(line) for line in calls]
        return [(line["dialect"], line["outcome"], line["status"], line["attempts"]) for line in read]

    async def metrics(self) -> "Counted":
        text = (await self.http.get("/metrics")).text
        ended: Counter[Ended] = Counter()
        for labels, value in _STREAMS.findall(text):
            label = dict(_LABEL.findall(labels))
            ended[label["outcome"], label["provider"]] += int(float(value))
        return Counted(ended, text)


@dataclass(frozen=True)
class Counted:
    ended: Counter[Ended]
    text: str

    def in_progress(self) -> float:
        busy = _BUSY.search(self.text)
        assert busy is not None
        return float(busy[1]) + sum(float(value) for value in _ACTIVE.findall(self.text))


@contextlib.asynccontextmanager
async def stage(folder: Path, *, reaches: bool = True) -> AsyncIterator[Stage]:
    """The proxy and its upstreams: those that can be reached, or those that cannot.

    Not all at once: every provider adds some hundred lines to the metrics that each test reads.
    """
    async with contextlib.AsyncExitStack() as resources:
        upstream = FaultyUpstream()
        await resources.enter_async_context(upstream.server)
        providers = [
            provider(
                f"{name}-{kind}",
                kind,
                upstream.server.url + ("/v1" if kind == "openai_chat" else ""),
                timeouts=timeouts,
                api_key="env:FAULT_KEY",
            )
            for name, timeouts in TIMEOUTS.items()
            for kind in ("openai_chat", "anthropic")
        ]
        if not reaches:
            providers = await _unreachable(resources, folder)
        config = settings(
            providers,
            retry={"attempts": 2, "base_s": 0.02},
            breaker={"failures": 0},
            heartbeat_s=HEARTBEAT_S,
            timeouts={"caller_stall_s": CALLER_STALL_S},
            limits={
                "max_frame_bytes": MAX_FRAME_BYTES,
                "max_body_bytes": MAX_BODY_BYTES,
                "header_timeout_s": HEADER_TIMEOUT_S,
                "body_timeout_s": BODY_TIMEOUT_S,
            },
        )
        proxy = await resources.enter_async_context(proxy_process(config, folder, environ={"FAULT_KEY": KEY}))
        chat = openai.AsyncOpenAI(base_url=proxy.url + "/v1", api_key=CALLER_KEY, max_retries=0, timeout=20)
        messages = anthropic.AsyncAnthropic(base_url=proxy.url, api_key=CALLER_KEY, max_retries=0, timeout=20)
        http = httpx.AsyncClient(base_url=proxy.url, timeout=30)
        for client in (chat, messages, http):
            await resources.enter_async_context(client)
        yield Stage(proxy, upstream, chat, messages, http)


async def _unreachable(resources: contextlib.AsyncExitStack, folder: Path) -> list[dict[str, Any]]:
    """One provider for each way of not being reached."""
    authority = Authority(folder)
    trusted = {"ca_file": authority.ca_file}

    async def server(script: Any, pem: Any = None) -> RawServer:
        return await resources.enter_async_context(RawServer(script, tls=server_context(pem) if pem else None))

    async def hang_up(peer: Peer) -> None:
        peer.close()

    async def say_nothing(peer: Peer) -> None:
        await peer.gone()

    async def ignore(peer: Peer) -> None:
        with contextlib.suppress(Exception):
            await peer.gone()

    good = authority.issue("good", "127.0.0.1")
    expired = authority.issue("expired", "127.0.0.1", days=-1)
    other = authority.issue("other", "other.example")
    closed = resources.enter_context(refusing_socket()).getsockname()[1]
    full = _full_port(resources)
    silent = await server(say_nothing)
    tunnel = await server(answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    addresses: dict[str, tuple[str, dict[str, Any]]] = {
        "refused": (f"http://127.0.0.1:{closed}", {}),
        "unknown_host": ("http://does-not-exist.invalid", {}),
        "blackhole": (f"http://127.0.0.1:{full}", {}),
        "tls_to_plain_port": ((await server(ignore)).url.replace("http", "https"), {}),
        "tls_untrusted": ((await server(ignore, good)).url, {}),
        "tls_wrong_host": ((await server(ignore, other)).url, {"tls": trusted}),
        "tls_expired": ((await server(ignore, expired)).url, {"tls": trusted}),
        "tls_silent": (silent.url.replace("http", "https"), {}),
        "tls_hangs_up": ((await server(hang_up)).url.replace("http", "https"), {}),
        "no_tunnel": ("https://127.0.0.1:9", {"proxy": tunnel.url}),
    }
    return [
        provider(f"{name}-openai_chat", "openai_chat", url + "/v1", timeouts={"connect_s": DEADLINE_S}, **more)
        for name, (url, more) in addresses.items()
    ]


def _full_port(resources: contextlib.AsyncExitStack) -> int:
    """A listener whose queue is full: Linux drops further SYNs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    resources.callback(listener.close)
    address = listener.getsockname()
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(address)
        resources.callback(waiting.close)
    return int(address[1])
