"""A fetch reader of the canonical stream: plain HTTP, the standard's event parser, and the frames of the product page."""

from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.support.canary import PROMPT
from tests.support.eventsource import interpret
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, parsed


async def _post(call: Call, stream: bool) -> tuple[int, bytes]:
    """Status and body; raises aiohttp's own fault when the connection broke."""
    body = {"model": call.model, "messages": [{"role": "user", "content": PROMPT}], "stream": stream, **call.options}
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{call.base_url}/chat", json=body) as response,
    ):
        return response.status, await response.read()


async def read_stream(call: Call) -> Reading:
    try:
        status, body = await _post(call, stream=True)
    except (aiohttp.ClientError, TimeoutError) as fault:
        return failed(Reading(), fault)
    if status != 200:
        return Reading(error=str(status), error_message=body.decode("utf-8", "replace"))
    return reading_of_stream(body)


def reading_of_stream(body: bytes) -> Reading:
    """What the frames of a whole canonical stream say. A stream without `[DONE]` as its last frame is an error."""
    frames = _Frames()
    seen = interpret(body)
    for event in seen.events:
        frames.add(event.data)
    if not frames.is_done or seen.rest:
        return failed(frames.reading(), EOFError("no [DONE]"))
    return frames.reading()


@dataclass
class _Frames:
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: Tokens | None = None
    finish: str | None = None
    error: dict[str, Any] | None = None
    is_done: bool = False
    breaches: list[str] = field(default_factory=list)

    def add(self, data: str) -> None:
        if self.is_done:
            self.breaches.append("a frame after [DONE]")
        if data == "[DONE]":
            self.is_done = True
            return
        frame = msgspec.json.decode(data)
        if not isinstance(frame.get("text"), str):
            self.breaches.append(f"a frame without text: {data}")
        self.text += frame["text"]
        self._add_typed(frame)

    def _add_typed(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "reasoning_delta":
                self.reasoning += frame["reasoning"]
            case "refusal":
                self.refusal += frame["refusal"]
            case "tool_call_start":
                self.calls[frame["id"]] = {**frame, "streamed": ""}
            case "tool_call_delta":
                self.calls[frame["id"]]["streamed"] += frame["arguments"]
            case "tool_call_end":
                self._end_call(frame)
            case "usage":
                self.tokens = tokens_of(frame["usage"])
            case "finish":
                self.finish = frame["reason"]
            case "error":
                self.error = frame["error"]

    def _end_call(self, frame: dict[str, Any]) -> None:
        call = self.calls[frame["id"]]
        if (call["streamed"] or "{}") != frame["arguments"]:
            self.breaches.append(f"arguments of {frame['id']} are not the sum of their deltas")
        call.update(frame)

    def reading(self) -> Reading:
        calls = tuple(
            ToolCall(call["id"], call["name"], parsed(call.get("arguments", call["streamed"])))
            for call in self.calls.values()
            if call.get("kind") != "server"
        )
        reading = Reading(self.text, self.reasoning, self.refusal, calls, self.tokens, self.finish)
        if self.breaches:
            return failed(reading, ValueError("; ".join(self.breaches)))
        if self.error is not None:
            return failed(reading, RuntimeError(f"{self.error['type']}: {self.error['message']}"))
        return reading


def tokens_of(usage: dict[str, Any]) -> Tokens:
    return Tokens(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("cached_input_tokens"),
        usage.get("cache_write_tokens"),
        usage.get("reasoning_tokens"),
    )


READERS = [Reader("fetch", "canonical", True, read_stream)]
