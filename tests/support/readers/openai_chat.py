"""The official `openai` SDK on Chat Completions: raw iteration, the accumulating helper, and whole answers.

Raw iteration also reads the deviations of compatible vendors (reasoning under any name, content lists, calls without
index, usage in `x_groq`), so that it can stand for the vendors' own SDKs on their own recordings.
"""

from dataclasses import dataclass, field
from typing import Any

import openai

from tests.support.canary import CALLER_KEY, PROMPT
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, finish_of, parsed


def client(call: Call) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=CALLER_KEY,
        base_url=f"{call.base_url}/v1",
        max_retries=0,
        timeout=DEADLINE_S,
        http_client=openai.DefaultAsyncHttpxClient(verify=False),
    )


def _request(call: Call) -> dict[str, Any]:
    return {"model": call.model, "messages": [{"role": "user", "content": PROMPT}], **call.options}


def _streamed(call: Call) -> dict[str, Any]:
    return {"stream_options": {"include_usage": True}, **_request(call)}


async def read_raw(call: Call) -> Reading:
    """Every chunk as the SDK yields it."""
    deltas = _Deltas()
    async with client(call) as sdk:
        try:
            stream = await sdk.chat.completions.create(stream=True, **_streamed(call))
            async for chunk in stream:
                deltas.add(chunk.model_dump(exclude_unset=True, warnings=False))
        except Exception as fault:
            return failed(deltas.reading(), fault)
    return deltas.reading()


async def read_helper(call: Call) -> Reading:
    """`client.chat.completions.stream(...)`, which puts the message together itself."""
    async with client(call) as sdk:
        try:
            async with sdk.chat.completions.stream(**_streamed(call)) as stream:
                try:
                    completion = await stream.get_final_completion()
                except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                    # The helper's way to tell these two reasons; the answer itself is whole.
                    completion = stream.current_completion_snapshot
        except Exception as fault:
            return failed(Reading(), fault)
    return reading_of_completion(completion.model_dump(exclude_unset=True, warnings=False))


async def read_whole(call: Call) -> Reading:
    """`stream: false`."""
    async with client(call) as sdk:
        try:
            completion = await sdk.chat.completions.create(**_request(call))
        except Exception as fault:
            return failed(Reading(), fault)
    return reading_of_completion(completion.model_dump(exclude_unset=True, warnings=False))


def reading_of_completion(completion: dict[str, Any]) -> Reading:
    deltas = _Deltas()
    for choice in completion.get("choices") or []:
        if choice.get("index", 0) == 0:
            deltas.add_choice({**choice, "delta": choice.get("message") or {}})
    deltas.add_usage(completion)
    return deltas.reading()


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class _Deltas:
    """The first choice of a stream, put together by hand."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[int, _Call] = field(default_factory=dict)
    finish: str | None = None
    usage: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self.add_choice(choice)
        self.add_usage(chunk)

    def add_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or {}
        self._add_content(delta.get("content"))
        self.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or _details_text(delta)
        self.refusal += delta.get("refusal") or ""
        for fragment in delta.get("tool_calls") or []:
            self._add_call(fragment)
        self.finish = choice.get("finish_reason") or self.finish

    def add_usage(self, chunk: dict[str, Any]) -> None:
        self.usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or self.usage

    def _add_content(self, content: str | list[dict[str, Any]] | None) -> None:
        if isinstance(content, str):
            self.text += content
            return
        for part in content or []:
            if part["type"] == "text":
                self.text += part["text"]
            elif part["type"] == "thinking":
                self.reasoning += "".join(piece.get("text", "") for piece in part["thinking"])

    def _add_call(self, fragment: dict[str, Any]) -> None:
        function = fragment.get("function") or fragment.get("custom") or {}
        call_id = fragment.get("id") or ""
        index = fragment.get("index")
        if index is None:
            index = len(self.calls) if call_id or not self.calls else len(self.calls) - 1
        elif index in self.calls and call_id and self.calls[index].id not in ("", call_id):
            index = len(self.calls)
        call = self.calls.setdefault(index, _Call())
        call.id = call.id or call_id
        call.name = call.name or function.get("name") or ""
        call.arguments += function.get("arguments") or function.get("input") or ""

    def reading(self) -> Reading:
        calls = tuple(ToolCall(call.id, call.name, parsed(call.arguments)) for call in self.calls.values())
        finish = finish_of("openai_chat", self.finish)
        return Reading(self.text, self.reasoning, self.refusal, calls, tokens_of(self.usage), finish)


def _details_text(delta: dict[str, Any]) -> str:
    """Reasoning that is told only in the details (OpenRouter's and Snowflake's field)."""
    details = delta.get("reasoning_details") or []
    return "".join(detail.get("text") or detail.get("summary") or "" for detail in details)


def tokens_of(usage: dict[str, Any] | None) -> Tokens | None:
    if usage is None:
        return None
    input_details = usage.get("prompt_tokens_details") or {}
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if reasoning and usage.get("total_tokens") == (prompt or 0) + (output or 0) + reasoning:
        output = (output or 0) + reasoning  # xAI counts reasoning apart.
    return Tokens(
        prompt,
        output,
        input_details.get("cached_tokens"),
        input_details.get("cache_write_tokens"),
        reasoning,
    )


READERS = [
    Reader("openai-python", "openai_chat", True, read_raw),
    Reader("openai-python-helper", "openai_chat", True, read_helper),
    Reader("openai-python-whole", "openai_chat", False, read_whole),
]
