"""The official `anthropic` SDK: raw iteration, the accumulating helper, and whole answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic

from tests.support.canary import CALLER_KEY, PROMPT
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, finish_of, parsed


def client(call: Call) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key=CALLER_KEY,
        base_url=call.base_url,
        max_retries=0,
        timeout=DEADLINE_S,
        http_client=anthropic.DefaultAsyncHttpxClient(verify=False),
    )


def _request(call: Call) -> dict[str, Any]:
    return {
        "model": call.model,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": PROMPT}],
        **call.options,
    }


Connect = Callable[[Call], anthropic.AsyncAnthropic | anthropic.AsyncAnthropicVertex]


async def read_raw(call: Call, connect: Connect = client) -> Reading:
    """Every event as the SDK yields it."""
    message = _Message()
    async with connect(call) as sdk:
        try:
            async for event in await sdk.messages.create(stream=True, **_request(call)):
                message.add(event.model_dump(exclude_unset=True, warnings=False))
        except Exception as fault:
            return failed(message.reading(), fault)
    return message.reading()


async def read_helper(call: Call) -> Reading:
    """`client.messages.stream(...)`, which puts the message together itself."""
    is_stopped = False
    async with client(call) as sdk:
        try:
            async with sdk.messages.stream(**_request(call)) as stream:
                async for event in stream:
                    is_stopped = is_stopped or event.type == "message_stop"
                message = await stream.get_final_message()
        except Exception as fault:
            return failed(Reading(), fault)
    reading = reading_of_message(message.model_dump(exclude_unset=True, warnings=False))
    if not is_stopped:
        # The helper gives a cut message without a word: what any careful caller checks for itself.
        return failed(reading, EOFError("no message_stop"))
    return reading


async def read_whole(call: Call) -> Reading:
    """`stream: false`."""
    async with client(call) as sdk:
        try:
            message = await sdk.messages.create(**_request(call))
        except Exception as fault:
            return failed(Reading(), fault)
    return reading_of_message(message.model_dump(exclude_unset=True, warnings=False))


def reading_of_message(message: dict[str, Any]) -> Reading:
    blocks = message.get("content") or []
    texts = {"text": "", "thinking": ""}
    for block in blocks:
        if block["type"] in texts:
            texts[block["type"]] += block[block["type"]]
    return Reading(
        text=texts["text"],
        reasoning=texts["thinking"],
        tool_calls=tuple(
            ToolCall(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ),
        tokens=tokens_of(message.get("usage")),
        finish=finish_of("anthropic", message.get("stop_reason")),
    )


@dataclass
class _Message:
    """The message of a stream, put together by hand."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    has_started: bool = False
    has_stopped: bool = False

    def add(self, event: dict[str, Any]) -> None:
        if self.has_stopped:
            return
        match event["type"]:
            case "message_start":
                self.has_started = True
                self._add_usage(event["message"]["usage"])
            case "content_block_start":
                self.blocks.append({**event["content_block"], "json": ""})
            case "content_block_delta":
                self._add_delta(self.blocks[event["index"]], event["delta"])
            case "message_delta":
                self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
                self._add_usage(event["usage"])
            case "message_stop":
                self.has_stopped = True

    def _add_usage(self, usage: dict[str, Any]) -> None:
        self.usage.update({name: value for name, value in usage.items() if value is not None})

    @staticmethod
    def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "input_json_delta":
                block["json"] += delta["partial_json"]

    def reading(self) -> Reading:
        for block in self.blocks:
            if block["type"] == "tool_use" and block["json"]:
                block["input"] = parsed(block["json"])
        usage = self.usage if self.has_started else None
        reading = reading_of_message({"content": self.blocks, "usage": usage, "stop_reason": self.stop_reason})
        if not self.has_stopped:
            # Raw iteration ends without a word when the stream was cut: what any careful caller checks for itself.
            return failed(reading, EOFError("no message_stop"))
        return reading


def tokens_of(usage: dict[str, Any] | None) -> Tokens | None:
    if usage is None:
        return None
    cached, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    return Tokens(
        input=usage["input_tokens"] + (cached or 0) + (written or 0),
        output=usage["output_tokens"],
        cached_input=cached,
        cache_write=written,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


READERS = [
    Reader("anthropic-python", "anthropic", True, read_raw),
    Reader("anthropic-python-helper", "anthropic", True, read_helper),
    Reader("anthropic-python-whole", "anthropic", False, read_whole),
]
