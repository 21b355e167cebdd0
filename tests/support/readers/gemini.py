"""The official `google-genai` SDK: streams and whole answers. It has no accumulating helper."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from google import genai
from google.genai import types
from google.genai.client import AsyncClient

from tests.support.canary import CALLER_KEY, PROMPT
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import FINISH, Reading, Tokens, ToolCall, failed, with_derived_finish


@contextlib.asynccontextmanager
async def client(call: Call) -> AsyncIterator[AsyncClient]:
    """Over httpx: on aiohttp the SDK leaves the connection of a failed stream open."""
    async with httpx2.AsyncClient(verify=False, timeout=DEADLINE_S) as connections:
        options = types.HttpOptions(
            base_url=call.base_url,
            api_version="v1beta",
            client_args={"verify": False},  # Reading the system's certificates would cost 0.2 s a call.
            httpx_async_client=connections,
        )
        with genai.Client(api_key=CALLER_KEY, vertexai=False, http_options=options) as sdk:
            yield sdk.aio


Connect = Callable[[Call], contextlib.AbstractAsyncContextManager[AsyncClient]]


async def read_stream(call: Call, connect: Connect = client) -> Reading:
    """Every chunk as the SDK yields it."""
    chunks = _Chunks()
    async with connect(call) as sdk:
        try:
            stream = await sdk.models.generate_content_stream(model=call.model, contents=PROMPT, **call.options)
            async for chunk in stream:
                chunks.add(chunk.model_dump(exclude_unset=True, warnings=False))
        except Exception as fault:
            return failed(chunks.reading(), fault)
    reading = chunks.reading()
    if reading.finish is None:
        # The SDK ends without a word when the stream was cut: what any careful caller checks for itself.
        return failed(reading, EOFError("no finish reason"))
    return reading


async def read_whole(call: Call) -> Reading:
    """`generateContent`."""
    chunks = _Chunks()
    async with client(call) as sdk:
        try:
            answer = await sdk.models.generate_content(model=call.model, contents=PROMPT, **call.options)
        except Exception as fault:
            return failed(Reading(), fault)
    chunks.add(answer.model_dump(exclude_unset=True, warnings=False))
    return chunks.reading()


@dataclass
class _Chunks:
    """The first candidate, put together by hand."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        self.usage = chunk.get("usage_metadata") or self.usage
        feedback = chunk.get("prompt_feedback") or {}
        if feedback.get("block_reason"):
            self.finish = "content_filter"
            self.refusal = feedback.get("block_reason_message") or ""
        for candidate in (chunk.get("candidates") or [])[:1]:
            if (reason := candidate.get("finish_reason")) is not None:
                word = getattr(reason, "value", reason)
                self.finish = FINISH["gemini"].get(word, word)
            for part in (candidate.get("content") or {}).get("parts") or []:
                self._add_part(part)

    def _add_part(self, part: dict[str, Any]) -> None:
        if call := part.get("function_call"):
            self.calls.append(ToolCall(call.get("id") or "", call["name"], call.get("args") or {}))
        elif part.get("thought"):
            self.reasoning += part.get("text") or ""
        else:
            self.text += part.get("text") or ""

    def reading(self) -> Reading:
        return with_derived_finish(
            Reading(self.text, self.reasoning, self.refusal, tuple(self.calls), tokens_of(self.usage), self.finish)
        )


def tokens_of(usage: dict[str, Any] | None) -> Tokens | None:
    if usage is None:
        return None
    prompt, thoughts = usage.get("prompt_token_count"), usage.get("thoughts_token_count")
    written, tool_input = usage.get("candidates_token_count"), usage.get("tool_use_prompt_token_count")
    if prompt is None and written is None and thoughts is None:
        return None
    return Tokens(
        input=None if prompt is None else prompt + (tool_input or 0),
        output=None if written is None and thoughts is None else (written or 0) + (thoughts or 0),
        cached_input=usage.get("cached_content_token_count"),
        reasoning=thoughts,
    )


READERS = [
    Reader("google-genai-python", "gemini", True, read_stream),
    Reader("google-genai-python-whole", "gemini", False, read_whole),
]
