"""A whole proxy in this process, in front of a scripted upstream that speaks every provider kind.

One pair serves a test module: tests change what the upstream answers, one at a time. The configured provider of each
kind bears the kind's name, and so does its model.
"""

import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from proxy.config.load import Sources, load
from proxy.providers import PROVIDERS
from proxy.server.app import start
from tests.support import vertex
from tests.support.answers import Answer, json
from tests.support.canary import PROMPT
from tests.support.corpus import Recording
from tests.support.proxy import provider, settings
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading
from tests.support.replay import ReplayServer

BASE_PATH = {"openai_chat": "/v1", "openai_responses": "/v1", "vertex": vertex.LOCATION}
"""What the vendor's own SDK takes after the host, where it is not empty."""

GENERATION: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT}]}),
    "openai_responses": ("/v1/responses", {"input": PROMPT}),
    "anthropic": ("/v1/messages", {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100}),
    "gemini": (
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    ),
    "canonical": ("/chat", {"messages": [{"role": "user", "content": PROMPT}]}),
    "ui_message_stream": ("/ui/chat", {"prompt": PROMPT}),
    "data_stream": ("/ui/v4/chat", {"prompt": PROMPT}),
    "ag_ui": ("/ag-ui", {"messages": [{"id": "u", "role": "user", "content": PROMPT}]}),
    "ollama": ("/ollama/api/chat", {"messages": [{"role": "user", "content": PROMPT}]}),
}
"""Path and body of a streamed request in each dialect."""


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool
    """HTTP said that the body is complete."""


@dataclass(frozen=True)
class Proxied:
    """The pair."""

    url: str
    upstream: ReplayServer

    async def read(
        self, reader: Reader, recording: Recording, *, model: str | None = None, **changes: object
    ) -> Reading:
        """What an SDK that calls the proxy reads of a recording; `model`: of the proxy, else that of its kind."""
        assert recording.kind is not None
        self.upstream.respond_with(recording.answer(**changes))
        return await reader.read(Call(self.url, model=model or recording.kind))

    async def stream(self, dialect: str, kind: str, answer: Answer, *, model: str | None = None) -> RawAnswer:
        """The proxy's bytes for a streamed request, when the upstream answers with `answer`; `model`: as in `read`."""
        self.upstream.respond_with(answer)
        path, fields = GENERATION[dialect]
        model = model or kind
        body = {"model": model, "stream": True, **fields}
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with (
            aiohttp.ClientSession(self.url, timeout=timeout) as session,
            session.post(path.format(model=model), json=body) as response,
        ):
            received = b""
            is_whole = True
            try:
                async for data in response.content.iter_any():
                    received += data
            except aiohttp.ClientPayloadError:
                is_whole = False
            return RawAnswer(response.status, dict(response.headers), received, is_whole)


@contextlib.asynccontextmanager
async def proxied(folder: Path, keyless: Collection[str] = ()) -> AsyncIterator[Proxied]:
    """A proxy that neither retries nor leaves a failing upstream alone: each test sees its own upstream once.

    `keyless`: kinds without an `api_key`, whose credentials the cloud's library must find.
    """
    async with ReplayServer(json({"error": {"message": "no answer was set"}}, status=500)) as upstream:
        providers = [provider(kind, kind, upstream.base_url + BASE_PATH.get(kind, "")) for kind in PROVIDERS]
        file = folder / "proxy.yaml"
        for entry in providers:
            if entry["kind"] in keyless:
                del entry["api_key"]
        config = settings(providers, retry={"attempts": 1}, breaker={"failures": 0})
        config["models"] += vertex.models("vertex")
        file.write_text(yaml.safe_dump(config))
        running = await start(load(Sources(file, environ={})).config)
        try:
            yield Proxied(running.url, upstream)
        finally:
            await running.stop()
