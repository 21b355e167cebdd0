"""A proxy with a first and a second target for every model `pair-*`, and a caller of the canonical dialect."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec

from tests.e2e.calls import BODIES
from tests.e2e.fault_row import Script
from tests.e2e.fault_upstream import FaultyUpstream, Scenario
from tests.e2e.faults_in_stream import MAX_FRAME_BYTES
from tests.support.proxy import ProxyProcess, provider, proxy_process, settings

SILENCE_S = 0.6


@dataclass
class Heard:
    """What a canonical caller reads."""

    status: int
    text: str = ""
    reasoning: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Every event but text."""
    is_done: bool = False
    comments: bytes = b""
    """Lines that no reader of server-sent events is shown."""
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    duration_s: float = 0.0

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == name]

    @property
    def is_whole(self) -> bool:
        return self.is_done and bool(self.of("finish")) and not self.of("error")


@dataclass(frozen=True)
class Pair:
    proxy: ProxyProcess
    first: FaultyUpstream
    second: FaultyUpstream
    http: httpx.AsyncClient

    def play(self, model: str, first: tuple[Script, ...], second: tuple[Script, ...]) -> tuple[Scenario, Scenario]:
        return self.first.play(model, first), self.second.play(model, second)

    async def hear(self, model: str, **fields: Any) -> Heard:
        """A streamed call of the canonical dialect."""
        began = time.monotonic()
        answer = await self.http.post("/chat", json={"model": model, **BODIES["canonical"][1], **fields})
        heard = Heard(answer.status_code, headers=answer.headers, duration_s=time.monotonic() - began)
        for line in answer.text.splitlines():
            if not line.startswith("data: "):
                heard.comments += line.encode() + b"\n"
                continue
            if line == "data: [DONE]":
                heard.is_done = True
                continue
            event = msgspec.json.decode(line[6:])
            heard.text += event["text"]
            if event.get("type") == "reasoning_delta":
                heard.reasoning += event["reasoning"]
            if "type" in event:
                heard.events.append(event)
        return heard

    async def log_line(self, model: str) -> str:
        """The access line of the call for `model`, once it is written."""
        mark = f'"model":"{model}"'
        async with asyncio.timeout(30):
            while True:
                for line in self.proxy.log.read_text().splitlines():
                    if mark in line and line.endswith("}"):
                        return line
                await asyncio.sleep(0.01)

    async def raw(self, dialect: str, model: str) -> bytes:
        """The bytes of a streamed answer in any dialect."""
        path, fields = BODIES[dialect]
        answer = await self.http.post(path, json={"model": model, **fields})
        assert answer.status_code == 200
        return answer.content


@contextlib.asynccontextmanager
async def pair(
    folder: Path,
    *,
    first_kind: str = "openai_chat",
    second_kind: str = "openai_chat",
    prefill: bool = False,
    silence_s: float = SILENCE_S,
    context_tokens: tuple[int | None, int | None] = (None, None),
    **config: Any,
) -> AsyncIterator[Pair]:
    """`config`: what differs from the defaults. `silence_s`: the deadlines of the first provider."""
    async with contextlib.AsyncExitStack() as resources:
        first, second = FaultyUpstream(), FaultyUpstream()
        providers: list[dict[str, Any]] = []
        for name, upstream, kind in (("first", first, first_kind), ("second", second, second_kind)):
            await resources.enter_async_context(upstream.server)
            silence = {"headers_s": silence_s, "first_event_s": silence_s, "idle_s": silence_s}
            base = upstream.server.url + ("/v1" if kind == "openai_chat" else "")
            providers.append(provider(name, kind, base, timeouts=silence if name == "first" else {}))
        first_tokens, second_tokens = ({"context_tokens": count} if count else {} for count in context_tokens)
        both = [{"provider": "first", **first_tokens}, {"provider": "second", "prefill": prefill, **second_tokens}]
        models = [
            {"name": "pair-*", "targets": both},
            {"name": "alone-*", "targets": [{"provider": "first"}]},
        ]
        limits = {"max_frame_bytes": MAX_FRAME_BYTES}
        whole = {**settings(providers), "models": models, "limits": limits, **config}
        proxy = await resources.enter_async_context(proxy_process(whole, folder))
        http = await resources.enter_async_context(httpx.AsyncClient(base_url=proxy.url, timeout=30))
        yield Pair(proxy, first, second, http)
