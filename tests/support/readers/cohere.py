"""Cohere's v2 answers, read by hand: the official SDK brings a hundred megabytes with it.

`json` and the independent event-stream parser take the place of the SDK; it was seen to read the same.
"""

import json
from typing import Any

import aiohttp

from tests.support.canary import PROMPT
from tests.support.eventsource import interpret
from tests.support.reader import DEADLINE_S, Call, Reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, parsed, with_derived_finish

FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop_sequence", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


async def post(call: Call, *, stream: bool) -> bytes:
    body = {"model": call.model, "messages": [{"role": "user", "content": PROMPT}], "stream": stream, **call.options}
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(call.base_url + "/v2/chat", json=body) as response,
    ):
        received = await response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {received[:200]!r}")
        return received


async def read_stream(call: Call) -> Reading:
    try:
        return reading_of_stream(await post(call, stream=True))
    except Exception as fault:
        return failed(Reading(), fault)


async def read_whole(call: Call) -> Reading:
    try:
        return reading_of_whole(json.loads(await post(call, stream=False)))
    except Exception as fault:
        return failed(Reading(), fault)


def reading_of_stream(body: bytes) -> Reading:
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    end: dict[str, Any] | None = None
    for event in interpret(body).events:
        if event.data == "[DONE]":
            continue
        data = json.loads(event.data)
        message = data.get("delta", {}).get("message", {})
        match data["type"]:
            case "content-start" | "content-delta":
                text += message["content"].get("text") or ""
                reasoning += message["content"].get("thinking") or ""
            case "tool-plan-delta":
                reasoning += message["tool_plan"]
            case "tool-call-start":
                call = message["tool_calls"]
                calls[data["index"]] = [call["id"], call["function"]["name"], call["function"].get("arguments") or ""]
            case "tool-call-delta":
                calls[data["index"]][2] += message["tool_calls"]["function"]["arguments"]
            case "message-end":
                end = data["delta"]
    told = tuple(ToolCall(id, name, parsed(arguments)) for id, name, arguments in calls.values())
    reading = Reading(text, reasoning, "", told)
    if end is None:
        return failed(reading, EOFError("no message-end"))
    return _ended(reading, end)


def reading_of_whole(body: dict[str, Any]) -> Reading:
    message = body["message"]
    content = message.get("content") or []
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], parsed(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    )
    text = "".join(one.get("text") or "" for one in content)
    reasoning = (message.get("tool_plan") or "") + "".join(one.get("thinking") or "" for one in content)
    return _ended(Reading(text, reasoning, "", calls), body)


def _ended(reading: Reading, end: dict[str, Any]) -> Reading:
    usage = end.get("usage") or {}
    tokens = usage.get("tokens")
    told = None
    if tokens:
        told = Tokens(
            tokens["input_tokens"] + tokens.get("image_tokens", 0),
            tokens["output_tokens"],
            usage.get("cached_tokens"),
            reasoning=tokens.get("reasoning_tokens"),
        )
    ended = Reading(
        reading.text, reading.reasoning, "", reading.tool_calls, told, FINISH.get(end["finish_reason"], "other")
    )
    if end.get("error") or end["finish_reason"] in ("ERROR", "TIMEOUT"):
        return failed(ended, RuntimeError(end.get("error") or end["finish_reason"]))
    return with_derived_finish(ended)


READERS = [
    Reader("cohere-by-hand", "cohere", True, read_stream),
    Reader("cohere-by-hand-whole", "cohere", False, read_whole),
]
