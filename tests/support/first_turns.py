"""One answer in the words of every provider kind: reasoning with its proof, a text, two calls of the same tool.

What a kind has no word for is left out. Claudes make closed reasoning besides. Written by hand, in the frames that
recordings show.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support import aws_frames
from tests.support.answers import Answer, sse

Json = dict[str, Any]

WHY, SAID = "why not ask", "let me see"
PROOF = "RXVNQkN3Z0JFQUVZQVNw"
SEALED = "EroBCkYIBRgCKkBzZWFsZWQ="
SEALED_BLOB = base64.b64encode(SEALED.encode()).decode()
TOOL = "get_weather"
CALLS = {"call_a": "Oslo", "call_b": "Rome"}
"""Cities by the ids that the provider gives."""
TOOL_SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}


def _events(*payloads: Json, named: bool = True) -> bytes:
    lines = [(f"event: {one['type']}\n" if named else "") + f"data: {json.dumps(one)}\n\n" for one in payloads]
    return "".join(lines).encode()


def _arguments(city: str) -> str:
    return json.dumps({"city": city}, separators=(",", ":"))


def claude() -> Answer:
    """Anthropic's events, here and on Vertex."""
    blocks: list[tuple[Json, list[Json]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": WHY}, {"type": "signature_delta", "signature": PROOF}],
        ),
        ({"type": "redacted_thinking", "data": SEALED}, []),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": SAID}]),
    ]
    for id, city in CALLS.items():
        delta = {"type": "input_json_delta", "partial_json": _arguments(city)}
        blocks.append(({"type": "tool_use", "id": id, "name": TOOL, "input": {}}, [delta]))
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 1}}
    frames: list[Json] = [{"type": "message_start", "message": start}]
    for index, (block, deltas) in enumerate(blocks):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "tool_use", "stop_sequence": None}
    frames.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}})
    return sse(_events(*frames, {"type": "message_stop"}))


def gemini(*, has_ids: bool) -> Answer:
    """Gemini's chunks, here and on Vertex: of parallel calls the first bears the proof. Older models give no ids."""
    calls: list[Json] = [
        {"functionCall": {"name": TOOL, "args": {"city": city}, **({"id": id} if has_ids else {})}}
        for id, city in CALLS.items()
    ]
    calls[0]["thoughtSignature"] = PROOF
    parts: list[Json] = [{"text": WHY, "thought": True}, {"text": SAID}, *calls]
    chunks: list[Json] = [
        {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts
    ]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    chunks[-1]["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14}
    return sse(_events(*chunks, named=False))


def converse(sealed: str | None) -> Answer:
    """Bedrock's frames; `sealed`: closed reasoning as well, in a blob."""
    contents: list[tuple[Json | None, list[Json]]] = [
        (None, [{"reasoningContent": {"text": WHY}}, {"reasoningContent": {"signature": PROOF}}]),
        *([(None, [{"reasoningContent": {"redactedContent": sealed}}])] if sealed is not None else []),
        (None, [{"text": SAID}]),
    ]
    for id, city in CALLS.items():
        contents.append(({"toolUse": {"toolUseId": id, "name": TOOL}}, [{"toolUse": {"input": _arguments(city)}}]))
    body = aws_frames.event("messageStart", {"role": "assistant"})
    for index, (start, deltas) in enumerate(contents):
        if start is not None:
            body += aws_frames.event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for delta in deltas:
            body += aws_frames.event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        body += aws_frames.event("contentBlockStop", {"contentBlockIndex": index})
    body += aws_frames.event("messageStop", {"stopReason": "tool_use"})
    body += aws_frames.event("metadata", {"usage": {"inputTokens": 5, "outputTokens": 9, "totalTokens": 14}})
    return Answer(200, (("content-type", "application/vnd.amazon.eventstream"),), body)


def cohere() -> Answer:
    def content(event: str, index: int, content: Json) -> Json:
        return {"type": event, "index": index, "delta": {"message": {"content": content}}}

    frames: list[Json] = [
        {"id": "1", "type": "message-start", "delta": {"message": {"role": "assistant"}}},
        content("content-start", 0, {"type": "thinking", "thinking": ""}),
        content("content-delta", 0, {"thinking": WHY}),
        {"type": "content-end", "index": 0},
        content("content-start", 1, {"type": "text", "text": ""}),
        content("content-delta", 1, {"text": SAID}),
        {"type": "content-end", "index": 1},
    ]
    for index, (id, city) in enumerate(CALLS.items()):
        call = {"id": id, "type": "function", "function": {"name": TOOL, "arguments": ""}}
        delta = {"function": {"arguments": _arguments(city)}}
        frames.append({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}})
        frames.append({"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": delta}}})
        frames.append({"type": "tool-call-end", "index": index})
    usage = {"tokens": {"input_tokens": 5, "output_tokens": 9}}
    frames.append({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": usage}})
    return sse(_events(*frames))


def ollama() -> Answer:
    calls = [{"function": {"name": TOOL, "arguments": {"city": city}}} for city in CALLS.values()]
    messages: list[Json] = [{"content": "", "thinking": WHY}, {"content": SAID}, {"content": "", "tool_calls": calls}]
    lines: list[Json] = [
        {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", **one}, "done": False}
        for one in messages
    ]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    lines.append({**lines[0], **end, "prompt_eval_count": 5, "eval_count": 9})
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return Answer(200, (("content-type", "application/x-ndjson"),), body)


def chat(reasoning: list[Json]) -> Answer:
    """Chat Completions; `reasoning`: the deltas in the vendor's own fields."""
    calls = [
        {"index": index, "id": id, "type": "function", "function": {"name": TOOL, "arguments": _arguments(city)}}
        for index, (id, city) in enumerate(CALLS.items())
    ]
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *reasoning, {"content": SAID}, {"tool_calls": calls}]
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks: list[Json] = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return sse(_events(*chunks, named=False) + b"data: [DONE]\n\n")


def responses() -> Answer:
    """The Responses API's events, as few as the SDK's helper needs."""
    part = {"type": "summary_text", "text": WHY}
    said = {"type": "output_text", "text": SAID, "annotations": []}
    items: list[Json] = [
        {"id": "rs_1", "type": "reasoning", "summary": [part], "encrypted_content": PROOF},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [said]},
    ]
    for number, (id, city) in enumerate(CALLS.items()):
        call = {"type": "function_call", "call_id": id, "name": TOOL, "arguments": _arguments(city)}
        items.append({"id": f"fc_{number}", "status": "completed", **call})
    response: Json = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    response |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress"}
    frames: list[Json] = [{"type": "response.created", "response": response}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        bare = {**item, **{name: empty for name, empty in _EMPTY.items() if name in item}}
        frames.append({"type": "response.output_item.added", "output_index": index, "item": bare})
        frames += [{**frame, **place} for frame in _contents(item)]
        frames.append({"type": "response.output_item.done", "output_index": index, "item": item})
    usage = {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    done = {**response, "status": "completed", "output": items, "usage": usage}
    frames.append({"type": "response.completed", "response": done})
    return sse(_events(*({**frame, "sequence_number": number} for number, frame in enumerate(frames))))


_EMPTY: Json = {"summary": [], "content": [], "arguments": ""}


def _contents(item: Json) -> list[Json]:
    """The events between an item's first and last."""
    match item["type"]:
        case "reasoning":
            return _part("response.reasoning_summary_", "summary_index", item["summary"][0], "part", "text")
        case "message":
            return _part("response.", "content_index", item["content"][0], "content_part", "output_text")
        case _:
            name, arguments = "response.function_call_arguments", item["arguments"]
            done = {"type": f"{name}.done", "arguments": arguments, "name": item["name"]}
            return [{"type": f"{name}.delta", "delta": arguments}, done]


def _part(prefix: str, index: str, part: Json, whole: str, text: str) -> list[Json]:
    return [
        {"type": f"{prefix}{whole}.added", index: 0, "part": {**part, "text": ""}},
        {"type": f"{prefix}{text}.delta", index: 0, "delta": part["text"], "logprobs": []},
        {"type": f"{prefix}{text}.done", index: 0, "text": part["text"], "logprobs": []},
        {"type": f"{prefix}{whole}.done", index: 0, "part": part},
    ]


# --- who answers


@dataclass(frozen=True)
class Row:
    """A model of the proxy, and what stands behind it."""

    kind: str
    model: str
    answer: Callable[[], Answer]
    path: str = ""
    """What the base URL has after the row's own part."""


_DETAIL = {"type": "reasoning.text", "text": WHY, "signature": PROOF, "format": "anthropic-claude-v1", "index": 0}
_CLAUDE_ON_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

ROWS: dict[str, Row] = {
    "anthropic": Row("anthropic", "claude-opus-4-6", claude),
    "bedrock": Row("bedrock", "amazon.nova-2-lite-v1:0", lambda: converse(None)),
    "bedrock-claude": Row("bedrock", _CLAUDE_ON_BEDROCK, lambda: converse(SEALED_BLOB)),
    "cohere": Row("cohere", "command-a-reasoning-08-2025", cohere),
    "gemini": Row("gemini", "gemini-3-flash", lambda: gemini(has_ids=True)),
    "ollama": Row("ollama", "qwen3", ollama),
    "openai_chat": Row("openai_chat", "gpt-5", lambda: chat([{"reasoning_content": WHY}]), "/v1"),
    "openrouter": Row(
        "openai_chat", "anthropic/claude-haiku-4.5", lambda: chat([{"reasoning_details": [_DETAIL]}]), "/v1"
    ),
    "openai_responses": Row("openai_responses", "gpt-5", responses, "/v1"),
    "vertex": Row("vertex", "gemini-3-flash", lambda: gemini(has_ids=False), "/v1/projects/p/locations/l"),
    "vertex-claude": Row("vertex", "claude-sonnet-4-5@20250929", claude, "/v1/projects/p/locations/l"),
}
"""By the proxy's model."""
