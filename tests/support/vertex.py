"""Vertex AI's addresses, and Google's and Anthropic's own clients of them.

Vertex serves two APIs that have other addresses of their own, so recordings of those are what it would send: Gemini's
and Anthropic's.
"""

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
from google import genai
from google.auth.credentials import Credentials
from google.genai import types
from google.genai.client import AsyncClient

from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readers import anthropic as anthropic_reader
from tests.support.readers import gemini as gemini_reader

PROJECT, REGION, TOKEN = "p", "l", "ya29.a-token"
LOCATION = f"/v1/projects/{PROJECT}/locations/{REGION}"
"""The path of the base URL that a provider of kind `vertex` is given."""

MODEL = {"gemini": "vertex-gemini", "anthropic": "vertex-claude"}
"""By recorded kind: the proxy's model that Vertex serves by that API."""

UPSTREAM_MODEL = {"gemini": "gemini-2.5-flash", "anthropic": "claude-sonnet-4-5@20250929"}

ADDRESS = {
    "gemini": f"{LOCATION}/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    "anthropic": f"{LOCATION}/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
}


def models(provider: str) -> list[dict[str, Any]]:
    """The entries of both in a configuration."""
    return [
        {"name": MODEL[kind], "targets": [{"provider": provider, "model": name}]}
        for kind, name in UPSTREAM_MODEL.items()
    ]


class Token(Credentials):
    """An access token that needs nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    def refresh(self, request: object) -> None:
        pass


@contextlib.asynccontextmanager
async def gemini_client(call: Call) -> AsyncIterator[AsyncClient]:
    """google-genai as it calls Vertex."""
    async with httpx2.AsyncClient(verify=False, timeout=DEADLINE_S) as connections:
        options = types.HttpOptions(
            base_url=call.base_url,
            api_version="v1",
            client_args={"verify": False},
            httpx_async_client=connections,
        )
        with genai.Client(
            vertexai=True, project=PROJECT, location=REGION, credentials=Token(), http_options=options
        ) as sdk:
            yield sdk.aio


def claude_client(call: Call) -> anthropic.AsyncAnthropicVertex:
    """Anthropic's client of Vertex."""
    return anthropic.AsyncAnthropicVertex(
        region=REGION,
        project_id=PROJECT,
        access_token=TOKEN,
        base_url=f"{call.base_url}/v1",
        max_retries=0,
        timeout=DEADLINE_S,
        http_client=anthropic.DefaultAsyncHttpxClient(verify=False),
    )


VERTEX_READER: dict[str, Reader] = {
    "gemini": Reader(
        "google-genai-python-vertex",
        "gemini",
        True,
        functools.partial(gemini_reader.read_stream, connect=gemini_client),
    ),
    "anthropic": Reader(
        "anthropic-python-vertex",
        "anthropic",
        True,
        functools.partial(anthropic_reader.read_raw, connect=claude_client),
    ),
}
"""By recorded kind: the vendor's client of Vertex, the measure of what the proxy makes of it."""
