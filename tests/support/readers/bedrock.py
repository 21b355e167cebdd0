"""Converse answers as boto3's own parsers read them: `botocore` on the bytes, without its HTTP client."""

import asyncio
from typing import Any

import aiohttp
from botocore.eventstream import EventStream
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser, create_parser

from tests.support.canary import PROMPT
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, parsed, with_derived_finish

SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
STREAM = SERVICE.operation_model("ConverseStream")
FINISH = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_tool_use": "malformed_call",
    "model_context_window_exceeded": "context_full",
}


class _Body:
    """What botocore wants of a response body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Any:
        yield self._body

    def close(self) -> None:
        pass


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events; raises `EventStreamError` for an exception frame and `ChecksumMismatch` for a bad one."""
    shape = STREAM.get_event_stream_output()
    return list(EventStream(_Body(body), shape, EventStreamJSONParser(), "ConverseStream"))


def reading_of_stream(body: bytes) -> Reading:
    answer = _Answer()
    try:
        shape = STREAM.get_event_stream_output()
        for event in EventStream(_Body(body), shape, EventStreamJSONParser(), "ConverseStream"):
            answer.add(event)
    except Exception as fault:
        return failed(answer.reading(), fault)
    return answer.reading() if answer.finish is not None else failed(answer.reading(), EOFError("no messageStop"))


def reading_of_whole(body: bytes) -> Reading:
    operation = SERVICE.operation_model("Converse")
    response = {"status_code": 200, "headers": {}, "body": body}
    found = create_parser("rest-json").parse(response, operation.output_shape)
    answer = _Answer()
    for index, block in enumerate(found["output"]["message"]["content"]):
        use = block.get("toolUse")
        if use is not None:
            answer.calls[index] = [use["toolUseId"], use["name"], use["input"]]
        answer.text += block.get("text", "")
        answer.reasoning += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
    answer.finish, answer.usage = found["stopReason"], found["usage"]
    return answer.reading()


class _Answer:
    """The pieces, put together by hand: boto3 has no accumulating helper."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.calls: dict[int, list[Any]] = {}
        self.finish: str | None = None
        self.usage: dict[str, int] | None = None

    def add(self, event: dict[str, Any]) -> None:
        if "contentBlockStart" in event:
            use = event["contentBlockStart"]["start"].get("toolUse")
            if use is not None and use.get("type") != "server_tool_use":
                self.calls[event["contentBlockStart"]["contentBlockIndex"]] = [use["toolUseId"], use["name"], ""]
        elif "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]["delta"]
            self.text += delta.get("text", "")
            self.reasoning += delta.get("reasoningContent", {}).get("text", "")
            call = self.calls.get(event["contentBlockDelta"]["contentBlockIndex"])
            if "toolUse" in delta and call is not None:
                call[2] += delta["toolUse"]["input"]
        elif "messageStop" in event:
            self.finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            self.usage = event["metadata"].get("usage")

    def reading(self) -> Reading:
        calls = tuple(
            ToolCall(id, name, parsed(text) if isinstance(text, str) else text)
            for id, name, text in self.calls.values()
        )
        usage = self.usage
        tokens = None
        if usage is not None:
            read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
            tokens = Tokens(usage["inputTokens"] + (read or 0) + (written or 0), usage["outputTokens"], read, written)
        finish = None if self.finish is None else FINISH.get(self.finish, "other")
        return with_derived_finish(Reading(self.text, self.reasoning, "", calls, tokens, finish))


async def post(call: Call, operation: str) -> bytes:
    body = {"messages": [{"role": "user", "content": [{"text": PROMPT}]}], **call.options}
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{call.base_url}/model/{call.model}/{operation}", json=body) as response,
    ):
        received = await response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {received[:200]!r}")
        return received


async def read_stream(call: Call) -> Reading:
    try:
        body = await post(call, "converse-stream")
    except Exception as fault:
        return failed(Reading(), fault)
    return await asyncio.to_thread(reading_of_stream, body)


async def read_whole(call: Call) -> Reading:
    try:
        body = await post(call, "converse")
    except Exception as fault:
        return failed(Reading(), fault)
    return await asyncio.to_thread(reading_of_whole, body)


READERS = [
    Reader("botocore", "bedrock", True, read_stream),
    Reader("botocore-whole", "bedrock", False, read_whole),
]
