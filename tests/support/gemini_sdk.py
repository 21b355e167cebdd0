"""What the official google-genai SDK reads from given bytes, and what it sends. No socket: a transport hands the bytes out.

The body comes in pieces of 61 bytes, so that lines and characters are split.
"""

import base64
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from tests.support.readings import Reading, Tokens, ToolCall

PIECE_BYTES = 61

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "MALFORMED_FUNCTION_CALL": "malformed_call",
}
"""In common words; a word that is not here stays itself."""


@dataclass
class Server:
    """The other end of the SDK: answers every request with `body`."""

    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"
    api_version: str = "v1beta"
    requests: list[httpx2.Request] = field(default_factory=list)

    def client(self) -> genai.Client:
        """The shared client; until the next server's, its requests come here."""
        _SERVERS[self.api_version] = self
        return _client(self.api_version)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        return httpx2.Response(self.status, headers={"content-type": self.content_type}, content=self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, len(self.body), PIECE_BYTES):
            yield self.body[start : start + PIECE_BYTES]


_SERVERS: dict[str, Server] = {}


@functools.cache
def _client(api_version: str) -> genai.Client:
    """One for all tests: making a client costs a hundred times what a call does."""
    options = types.HttpOptions(
        base_url="http://proxy.test",
        api_version=api_version,
        client_args={"transport": httpx2.MockTransport(lambda request: _SERVERS[api_version].answer(request))},
    )
    return genai.Client(api_key="test-key", http_options=options)


def read_stream(body: bytes, api_version: str = "v1beta") -> list[types.GenerateContentResponse]:
    """The responses that the SDK's stream yields; raises what the SDK raises."""
    server = Server(body, api_version=api_version)
    return list(server.client().models.generate_content_stream(model="m", contents="hi"))


def read_whole(body: bytes, status: int = 200, api_version: str = "v1beta") -> types.GenerateContentResponse:
    server = Server(body, status, "application/json", api_version)
    return server.client().models.generate_content(model="m", contents="hi")


def read(body: bytes, api_version: str = "v1beta") -> Reading:
    """What the SDK's user understands of a stream; an error as the SDK raises it."""
    responses: list[types.GenerateContentResponse] = []
    server = Server(body, api_version=api_version)
    try:
        for response in server.client().models.generate_content_stream(model="m", contents="hi"):
            responses.append(response)
    except errors.APIError as fault:
        reading = reading_of(responses)
        return Reading(reading.text, reading.reasoning, error=type(fault).__name__, error_message=fault.message or "")
    return reading_of(responses)


def reading_of(responses: list[types.GenerateContentResponse]) -> Reading:
    """The parts of all responses joined, as the API's documentation tells its callers to."""
    parts = parts_of(responses)
    calls = [part.function_call for part in parts if part.function_call is not None]
    return Reading(
        text="".join(part.text or "" for part in parts if not part.thought),
        reasoning="".join(part.text or "" for part in parts if part.thought),
        tool_calls=tuple(ToolCall(call.id or "", call.name or "", call.args or {}) for call in calls),
        tokens=tokens_of(responses),
        finish=finish_of(responses),
    )


def parts_of(responses: list[types.GenerateContentResponse]) -> list[types.Part]:
    """Of the first candidate."""
    return [
        part
        for response in responses
        for candidate in (response.candidates or [])[:1]
        if candidate.content is not None
        for part in candidate.content.parts or []
    ]


def signatures_of(responses: list[types.GenerateContentResponse]) -> list[tuple[str, str]]:
    """Each signed part's kind and signature, in order."""
    return [
        (_kind(part), base64.b64encode(part.thought_signature).decode())
        for part in parts_of(responses)
        if part.thought_signature
    ]


def _kind(part: types.Part) -> str:
    if part.function_call is not None:
        return "call"
    return "thought" if part.thought else "text" if part.text is not None else "other"


def tokens_of(responses: list[types.GenerateContentResponse]) -> Tokens | None:
    """The last report that has a count."""
    usages = [response.usage_metadata for response in responses if response.usage_metadata is not None]
    counted = [usage for usage in usages if usage.prompt_token_count is not None]
    if not counted:
        return None
    usage = counted[-1]
    output = [usage.candidates_token_count, usage.thoughts_token_count]
    return Tokens(
        input=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        output=sum(count or 0 for count in output) if output != [None, None] else None,
        cached_input=usage.cached_content_token_count,
        reasoning=usage.thoughts_token_count,
    )


def finish_of(responses: list[types.GenerateContentResponse]) -> str | None:
    word: str | None = None
    for response in responses:
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason is not None:
            word = "SAFETY"
        for candidate in (response.candidates or [])[:1]:
            if candidate.finish_reason is not None:
                word = candidate.finish_reason.value
    return None if word is None else FINISH.get(word, word)


def sent_body(server: Server) -> dict[str, Any]:
    """The JSON of the SDK's last request."""
    body: dict[str, Any] = json.loads(server.requests[-1].content)
    return body


SENT_TYPES: dict[str, Any] = {
    "contents": types.Content,
    "systemInstruction": types.Content,
    "tools": types.Tool,
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "safetySettings": types.SafetySetting,
}
"""The SDK's own types of a request's fields. Each refuses fields that it does not know."""


def check_request(body: dict[str, Any]) -> None:
    """Hold a request against the types that the SDK writes requests with."""
    for name, value in body.items():
        for each in value if isinstance(value, list) else [value]:
            if name in SENT_TYPES:
                SENT_TYPES[name].model_validate(each)
