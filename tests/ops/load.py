"""A little of everything that can happen to a call, so that every metric of a running proxy has something to tell."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import aiohttp

KEY = "one-call-at-a-time"

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
UNKEPT_TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
"""Traces of two callers; the second is not sampled."""

UPSTREAM = "UPSTREAM"
"""Stands for the base URL of a simulated model that speaks OpenAI's API only, so that other callers are converted."""

CONFIG: dict[str, Any] = {
    "default_model": "demo",
    "auth": {"anonymous": True, "keys": [{"name": "narrow", "key": "env:NARROW_KEY", "max_streams": 1}]},
    "providers": [
        {"name": "demo"},
        {"name": "converted", "kind": "openai_chat", "base_url": UPSTREAM, "api_key": "none"},
        {"name": "dead", "kind": "openai_chat", "base_url": "http://127.0.0.1:9/v1", "api_key": "none"},
    ],
    "models": [
        {"name": "demo", "targets": [{"provider": "demo"}]},
        {"name": "converted", "targets": [{"provider": "converted", "model": "demo"}]},
        {"name": "dead", "targets": [{"provider": "dead", "model": "m"}]},
        {"name": "spare", "targets": [{"provider": "dead", "model": "m"}, {"provider": "demo", "model": "demo"}]},
    ],
    "workers": 2,
    "timeouts": {"headers_s": 1, "first_event_s": 1, "idle_s": 0.3, "total_s": 2, "caller_stall_s": 0.5},
    "retry": {"attempts": 2, "base_s": 0.01, "max_s": 0.02},
    "breaker": {"failures": 0},
    "heartbeat_s": 0.1,
    "drain": {"lame_duck_s": 0, "deadline_s": 2},
}

PROMPTS = (
    "[[demo tokens=20 rate=100]]",
    "[[demo tokens=20 rate=100 cached=5 reasoning=5]]",
    "[[demo tokens=5 rate=50 delay=0.25]]",
    "[[demo tokens=5 rate=0 usage=off]]",
    "[[demo tokens=20 fault=cut@5]]",
    "[[demo tokens=20 fault=error@5]]",
    "[[demo tokens=20 fault=stall@5]]",
    "[[demo tokens=20 fault=rst@5]]",
    "[[demo fault=429]]",
    "[[demo fault=500]]",
    "[[demo fault=stall@headers]]",
    "[[demo fault=pings@first interval=0.1]]",
    "[[demo fault=endless@1 rate=50]]",
)
"""Each ends in another way, most of them badly."""


def config(upstream: str, port: int) -> dict[str, Any]:
    """The configuration, with the base URL of the model behind `converted`. Workers share a port that is known before."""
    providers = [{**entry, "base_url": upstream} if entry.get("base_url") == UPSTREAM else entry
                 for entry in CONFIG["providers"]]  # fmt: skip
    return {**CONFIG, "providers": providers, "listen": f"127.0.0.1:{port}"}


class Callers:
    """Callers of one proxy. `round` makes one call of each sort, all at once."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def round(self) -> None:
        calls = [self._chat(prompt) for prompt in PROMPTS]
        calls += [self._chat("[[demo tokens=5]]", model=model) for model in ("dead", "spare", "unknown")]
        calls += [self._chat("[[demo tokens=20 rate=50]]", key=KEY) for _ in range(3)]
        calls += [self._messages(prompt) for prompt in ("tokens=20 rate=100", "tokens=20 fault=garbage@5")]
        calls += [self._canonical(), self._leave(), self._leave_early(), self._read_nothing(), self._be_ended()]
        await asyncio.gather(*calls)

    async def _chat(self, prompt: str, *, model: str = "demo", key: str | None = None) -> None:
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
        await self._post("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}, key=key)

    async def _messages(self, prompt: str) -> None:
        messages = [{"role": "user", "content": f"[[demo {prompt}]]"}]
        body = {"model": "converted", "max_tokens": 50, "stream": True, "messages": messages, "top_k": 5}
        await self._post("/v1/messages", body, traceparent=f"00-{TRACE_ID}-00f067aa0ba902b7-01")

    async def _canonical(self) -> None:
        body = {"messages": [{"role": "user", "content": "[[demo tokens=20 rate=100]]"}]}
        await self._post("/chat", body, traceparent=f"00-{UNKEPT_TRACE_ID}-00f067aa0ba902b7-00")

    async def _post(self, path: str, body: dict[str, Any], *, key: str | None = None, **headers: str) -> None:
        if key:
            headers["Authorization"] = f"Bearer {key}"
        with contextlib.suppress(aiohttp.ClientError):  # some of the calls are meant to break
            async with self._session.post(self._url + path, json=body, headers=headers) as response:
                await response.read()

    async def _leave(self) -> None:
        """Reads the first event, and goes."""
        body = {"messages": [{"role": "user", "content": "[[demo tokens=500 rate=50]]"}]}
        async with self._session.post(f"{self._url}/chat", json=body) as response:
            await response.content.readline()
            response.close()

    async def _leave_early(self) -> None:
        """Goes before anything came."""
        body = {"messages": [{"role": "user", "content": "[[demo delay=0.8]]"}]}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2), self._session.post(f"{self._url}/chat", json=body) as response:
                await response.read()

    async def _be_ended(self) -> None:
        """Is ended by an operator."""
        body = {"messages": [{"role": "user", "content": "[[demo tokens=500 rate=50]]"}]}
        async with self._session.post(f"{self._url}/chat", json=body) as response:
            await response.content.readline()
            async with self._session.delete(f"{self._url}/streams/{response.headers['x-proxy-stream']}") as ended:
                await ended.read()
            await response.read()

    async def _read_nothing(self) -> None:
        """Asks for a flood and reads nothing of it until the proxy has given up."""
        body = {"messages": [{"role": "user", "content": "[[demo tokens=1 rate=0 fault=flood@1]]"}]}
        async with self._session.post(f"{self._url}/chat", json=body, read_bufsize=1024) as response:
            call = f"{self._url}/streams/{response.headers['x-proxy-stream']}"
            async with asyncio.timeout(10):
                while True:
                    async with self._session.get(call) as view:
                        if view.status == 404:
                            break
                    await asyncio.sleep(0.1)
            response.close()


async def drive(url: str, *, rounds: Sequence[float]) -> None:
    """One round after another, with these pauses (in seconds) after each."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        callers = Callers(session, url)
        for pause in rounds:
            await callers.round()
            await asyncio.sleep(pause)
