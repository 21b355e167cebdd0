"""What a stream in each dialect must look like, checked on raw bytes, stricter than any SDK.

`breaches` names what is wrong; `has_success_ending` tells whether a caller would take the stream for complete. Both know
the dialects from their vendors' documents and parsers and nothing of the encoders.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from tests.support.eventsource import ServerSentEvent, interpret

Check = Callable[[tuple[ServerSentEvent, ...]], list[str]]


LINES = {
    "ag_ui": re.compile(r"data: .+|:.*"),
    "anthropic": re.compile(r"event: \w+|data: .+|:.*"),
    "canonical": re.compile(r"data: .+|id: .+|:.*"),
    "data_stream": re.compile(r"[02389abcdefghijk]:.+"),
    "gemini": re.compile(r"data: .+"),
    "ollama": re.compile(r"\{.+\}"),
    "openai_chat": re.compile(r"data: .+|:.*"),
    "openai_responses": re.compile(r"event: [\w.]+|data: .+|:.*"),
    "ui_message_stream": re.compile(r"data: .+|:.*"),
}
"""Lines that every client of the dialect survives. google-genai takes no comments, openai-python no fields but data."""


LINE_DIALECTS = frozenset({"data_stream", "ollama"})
"""Those whose frame is a line."""


def breaches(dialect: str, body: bytes) -> list[str]:
    """What is wrong with a whole stream; empty when nothing is."""
    events, rest = _frames(dialect, body)
    found = ["bytes after the last frame"] if rest else []
    lines = re.split("\r\n|\n|\r", body.decode("utf-8", "replace"))
    found += [
        f"a line that clients stumble over: {line[:80]}"
        for line in lines
        if line and not LINES[dialect].fullmatch(line)
    ]
    try:
        return found + CHECKS[dialect](events)
    except (KeyError, TypeError, msgspec.DecodeError) as fault:
        return [*found, f"a frame of another shape: {fault!r}"]


def has_success_ending(dialect: str, body: bytes) -> bool:
    """Whether the dialect's success terminator stands in the stream."""
    return SUCCESS[dialect](_frames(dialect, body)[0])


def _frames(dialect: str, body: bytes) -> tuple[tuple[ServerSentEvent, ...], str]:
    """The stream's frames and what is left over; in a dialect of lines each is the data of an event."""
    if dialect in LINE_DIALECTS:
        *lines, rest = body.decode("utf-8", "replace").split("\n")
        return tuple(ServerSentEvent("message", line) for line in lines), rest
    seen = interpret(body)
    return seen.events, seen.rest


def _json(event: ServerSentEvent) -> Any:
    return msgspec.json.decode(event.data)


# --- Chat Completions


def _chat(events: tuple[ServerSentEvent, ...]) -> list[str]:
    found = [f"an event name: {event.type}" for event in events if event.type != "message"]
    is_done = bool(events) and events[-1].data == "[DONE]"
    found += ["[DONE] before the end" for event in events[:-1] if event.data == "[DONE]"]
    chunks = [_json(event) for event in events if event.data != "[DONE]"]
    errors = [chunk for chunk in chunks if "error" in chunk]
    if errors:
        found += ["an error without message or type"] if not {"message", "type"} <= set(errors[0]["error"]) else []
        found += ["frames after the error"] if errors[0] is not chunks[-1] or is_done else []
        chunks = chunks[: chunks.index(errors[0])]
    elif not is_done:
        found.append("neither [DONE] nor an error")
    return found + _chat_chunks(chunks, is_complete=not errors)


def _chat_chunks(chunks: list[dict[str, Any]], *, is_complete: bool) -> list[str]:
    found: list[str] = []
    for name in ("id", "object", "created", "model"):
        if len({msgspec.json.encode(chunk.get(name)) for chunk in chunks}) > 1:
            found.append(f"{name} changes")
    if chunks and chunks[0].get("object") != "chat.completion.chunk":
        found.append(f"object is {chunks[0].get('object')}")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    roles = [index for index, choice in enumerate(choices) if choice["delta"].get("role")]
    if choices and roles != [0]:
        found.append(f"role in choices {roles}, expected in the first alone")
    ends = [index for index, choice in enumerate(choices) if choice["finish_reason"] is not None]
    if is_complete and ends != [len(choices) - 1]:
        found.append(f"finish_reason in choices {ends} of {len(choices)}")
    bare = [index for index, chunk in enumerate(chunks) if not chunk["choices"]]
    if bare and bare != [len(chunks) - 1]:
        found.append(f"chunks {bare} of {len(chunks)} without choices")
    if bare and not chunks[bare[0]].get("usage"):
        found.append("a chunk with neither choices nor usage")
    return found + _chat_calls(choices)


def _chat_calls(choices: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    started = 0
    for annotation in (one for choice in choices for one in choice["delta"].get("annotations") or []):
        if annotation["type"] != "url_citation" or "url" not in annotation.get("url_citation", {}):
            found.append("an annotation that the AI SDK refuses")
    for fragment in (fragment for choice in choices for fragment in choice["delta"].get("tool_calls") or []):
        if not {"function", "custom"} & set(fragment):
            found.append("a fragment of a call without its function")
        is_start = fragment["index"] == started
        if fragment["index"] > started:
            found.append(f"call {fragment['index']} before call {started}")
        named = {"id", "type"} & set(fragment) or "name" in fragment.get("function", fragment.get("custom", {}))
        if is_start and not (fragment.get("id") and fragment.get("type")):
            found.append("a call starts without id or type")
        if not is_start and named:
            found.append(f"call {fragment['index']} is named again")
        started += is_start
    return found


# --- Responses


def _responses(events: tuple[ServerSentEvent, ...]) -> list[str]:
    frames = [_json(event) for event in events]
    found = [
        f"name {event.type}, type {frame['type']}"
        for event, frame in zip(events, frames, strict=True)
        if event.type != frame["type"]
    ]
    numbers = [frame.get("sequence_number") for frame in frames]
    if numbers != list(range(len(frames))):
        found.append(f"sequence numbers {numbers[:5]}…")
    types = [frame["type"] for frame in frames]
    terminal = [index for index, name in enumerate(types) if name in RESPONSES_END]
    if terminal != [len(frames) - 1]:
        found.append(f"terminal events at {terminal} of {len(frames)}")
    if types[:2] != ["response.created", "response.in_progress"] and types[:1] != ["error"]:
        found.append(f"begins with {types[:2]}")
    ids = {frame["response"]["id"] for frame in frames if "response" in frame}
    if len(ids) > 1:
        found.append(f"response ids {ids}")
    return found + _responses_items(frames)


RESPONSES_END = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _responses_items(frames: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    added: dict[int, str] = {}
    done: set[int] = set()
    for frame in frames:
        index = frame.get("output_index")
        match frame["type"]:
            case "response.output_item.added":
                if index != len(added):
                    found.append(f"item {index} added as number {len(added)}")
                added[index] = frame["item"]["id"]
            case "response.output_item.done":
                if index in done or index not in added:
                    found.append(f"item {index} done out of turn")
                done.add(index)
            case name if index is not None:
                if index not in added or index in done:
                    found.append(f"{name} for item {index}, which is not open")
                elif frame.get("item_id") != added[index]:
                    found.append(f"{name}: item id {frame.get('item_id')}, expected {added[index]}")
    if frames and frames[-1]["type"] == "response.completed":
        if len(frames[-1]["response"]["output"]) != len(added):
            found.append("the final output is not the items that were added")
        if done != set(added):
            found.append(f"items {sorted(set(added) - done)} are never done")
    return found


# --- Anthropic Messages


def _anthropic(events: tuple[ServerSentEvent, ...]) -> list[str]:
    frames = [_json(event) for event in events]
    found = [
        f"name {event.type}, type {frame['type']}"
        for event, frame in zip(events, frames, strict=True)
        if event.type != frame["type"]
    ]
    frames = [frame for frame in frames if frame["type"] != "ping"]
    types = [frame["type"] for frame in frames]
    if types[-1:] == ["error"]:
        frames, types = frames[:-1], types[:-1]
    elif types[-2:] != ["message_delta", "message_stop"]:
        found.append(f"ends with {types[-2:]}")
    if types and (types[0] != "message_start" or types.count("message_start") != 1):
        found.append("does not begin with the one message_start")
    if "error" in types or "message_stop" in types[:-1]:
        found.append("frames after the end")
    return found + _anthropic_blocks(frames)


ANTHROPIC_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
}
"""Which deltas may stand in a block; other blocks are whole when they start."""


def _anthropic_blocks(frames: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    count, open_type = 0, None
    for frame in frames:
        match frame["type"]:
            case "content_block_start":
                if open_type is not None or frame["index"] != count:
                    found.append(f"block {frame['index']} starts as number {count}, after {open_type}")
                open_type = frame["content_block"]["type"]
            case "content_block_delta":
                if frame["index"] != count or frame["delta"]["type"] not in ANTHROPIC_DELTAS.get(open_type or "", ()):
                    found.append(f"{frame['delta']['type']} for block {frame['index']}: {open_type}")
            case "content_block_stop":
                if open_type is None or frame["index"] != count:
                    found.append(f"block {frame['index']} stops out of turn")
                open_type = None
                count += 1
            case "message_delta":
                if open_type is not None:
                    found.append("message_delta while a block is open")
                if not isinstance(frame["usage"]["output_tokens"], int):
                    found.append("message_delta without output_tokens")
    return found


# --- Gemini


def _gemini(events: tuple[ServerSentEvent, ...]) -> list[str]:
    found = [f"an event name: {event.type}" for event in events if event.type != "message"]
    chunks = [_json(event) for event in events]
    ends = [index for index, chunk in enumerate(chunks) if _gemini_finish(chunk)]
    errors = [index for index, chunk in enumerate(chunks) if "error" in chunk]
    if len(ends) + len(errors) != 1:
        found.append(f"finish reasons in chunks {ends}, errors in chunks {errors}")
    if errors and errors != [len(chunks) - 1]:
        found.append("chunks after the error")
    return found


def _gemini_finish(chunk: dict[str, Any]) -> bool:
    blocked = "blockReason" in (chunk.get("promptFeedback") or {})
    return blocked or any("finishReason" in candidate for candidate in chunk.get("candidates") or [])


# --- the canonical stream


def _canonical(events: tuple[ServerSentEvent, ...]) -> list[str]:
    found = [f"an event name: {event.type}" for event in events if event.type != "message"]
    if [index for index, event in enumerate(events) if event.data == "[DONE]"] != [len(events) - 1]:
        found.append("[DONE] is not exactly the last frame")
    frames = [_json(event) for event in events if event.data != "[DONE]"]
    found += [f"no text: {frame}" for frame in frames if not isinstance(frame.get("text"), str)]
    types = [frame.get("type") for frame in frames]
    if [kind for kind in types if kind in ("finish", "error")] != types[-1:]:
        found.append(f"ends with {types[-2:]}")
    return found


# --- user interfaces and Ollama


def _data_only(events: tuple[ServerSentEvent, ...]) -> list[str]:
    return [f"an event name: {event.type}" for event in events if event.type != "message"]


UI_TYPES = re.compile(
    r"(start|finish)(-step)?|error|message-metadata|file|source-(url|document)|data-tool-result"
    r"|(text|reasoning)-(start|delta|end)|tool-input-(start|delta|available|error)|tool-output-(available|error)"
)
"""Chunk types that versions 5, 6 and 7 of the AI SDK all know."""

UI_REASONS = frozenset({"stop", "length", "content-filter", "tool-calls", "error", "other"})


def _ui(events: tuple[ServerSentEvent, ...]) -> list[str]:
    found = _data_only(events)
    if [event.data for event in events].count("[DONE]") != 1 or events[-1].data != "[DONE]":
        found.append("[DONE] is not exactly the last frame")
    chunks = [_json(event) for event in events if event.data != "[DONE]"]
    found += [f"a null: {chunk}" for chunk in chunks if None in chunk.values()]
    found += [f"type {chunk['type']}" for chunk in chunks if not UI_TYPES.fullmatch(chunk["type"])]
    types = [chunk["type"] for chunk in chunks]
    if types[-2:] != ["finish-step", "finish"] and types[-1:] != ["error"]:
        found.append(f"ends with {types[-2:]}")
    if types[:2] != ["start", "start-step"] and types != ["error"]:
        found.append(f"begins with {types[:2]}")
    found += [f"reason {end}" for end in chunks if end["type"] == "finish" and end["finishReason"] not in UI_REASONS]
    return found + _ui_parts(chunks)


def _ui_parts(chunks: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    still_open: set[str] = set()
    calls: set[str] = set()
    for chunk in chunks:
        kind, _, step = chunk["type"].rpartition("-")
        if kind in ("text", "reasoning"):
            name = f"{kind} {chunk['id']}"
            if (name in still_open) == (step == "start"):
                found.append(f"{name}: {step} out of turn")
            (still_open.add if step == "start" else still_open.discard if step == "end" else str)(name)
        elif chunk["type"] == "tool-input-start":
            calls.add(chunk["toolCallId"])
        elif "toolCallId" in chunk and chunk["toolCallId"] not in calls:
            found.append(f"{chunk['type']} for a call that was not started")
    return found + [f"{name} is never ended" for name in sorted(still_open)]


def _data_stream(events: tuple[ServerSentEvent, ...]) -> list[str]:
    lines = [(event.data[:1], msgspec.json.decode(event.data[2:])) for event in events]
    codes = "".join(code for code, _ in lines)
    found: list[str] = []
    if not codes.endswith(("ed", "3")):
        found.append(f"ends with {codes[-3:]}")
    if codes[:-2].count("d") or codes[:-1].count("3"):
        found.append("lines after the end")
    if not codes.startswith("f") and codes != "3":
        found.append(f"begins with {codes[:2]}")
    started: set[str] = set()
    for code, value in lines:
        if code == "b":
            started.add(value["toolCallId"])
        if code in "9ac" and value["toolCallId"] not in started:
            found.append(f"{code} for a call that was not started")
        if code == "9" and not isinstance(value["args"], dict):
            found.append(f"args are no object: {value['args']}")
        if code in "0g3" and not isinstance(value, str):
            found.append(f"{code} is no text: {value}")
    return found


def _ag_ui(events: tuple[ServerSentEvent, ...]) -> list[str]:
    frames = [_json(event) for event in events]
    found = _data_only(events) + [f"a null: {frame}" for frame in frames if None in frame.values()]
    types = [frame["type"] for frame in frames]
    if types[:1] != ["RUN_STARTED"] and types != ["RUN_ERROR"]:
        found.append(f"begins with {types[:1]}")
    if [kind for kind in types if kind in ("RUN_FINISHED", "RUN_ERROR")] != (types[-1:] or ["none"]):
        found.append(f"ends with {types[-2:]}")
    still_open: set[str] = set()
    for frame in frames:
        kind, _, step = frame["type"].rpartition("_")
        if kind not in ("TEXT_MESSAGE", "REASONING", "REASONING_MESSAGE", "TOOL_CALL") or step == "RESULT":
            continue
        name = f"{kind} {frame.get('messageId') or frame.get('toolCallId')}"
        if (name in still_open) == (step == "START"):
            found.append(f"{name}: {step} out of turn")
        (still_open.add if step == "START" else still_open.discard if step == "END" else str)(name)
    if types[-1:] == ["RUN_FINISHED"]:
        found += [f"{name} is never ended" for name in sorted(still_open)]
    return found


def _ollama(events: tuple[ServerSentEvent, ...]) -> list[str]:
    lines = [_json(event) for event in events]
    found = [f"ollama-python splits {event.data!r}" for event in events if len(event.data.splitlines()) != 1]
    ends = [index for index, line in enumerate(lines) if line.get("done") or "error" in line]
    if ends != [len(lines) - 1]:
        found.append(f"endings in lines {ends} of {len(lines)}")
    for line in lines:
        if "error" in line:
            continue
        for call in (line.get("message") or line).get("tool_calls") or []:
            if not isinstance(call["function"]["arguments"], dict):
                found.append(f"arguments are no object: {call}")
        if not line["model"] or not isinstance(line["done"], bool):
            found.append(f"no model or done: {line}")
    return found


CHECKS: dict[str, Check] = {
    "ag_ui": _ag_ui,
    "anthropic": _anthropic,
    "canonical": _canonical,
    "data_stream": _data_stream,
    "gemini": _gemini,
    "ollama": _ollama,
    "openai_chat": _chat,
    "openai_responses": _responses,
    "ui_message_stream": _ui,
}

SUCCESS: dict[str, Callable[[tuple[ServerSentEvent, ...]], bool]] = {
    "ag_ui": lambda events: any(_json(event)["type"] == "RUN_FINISHED" for event in events),
    "anthropic": lambda events: any(event.type == "message_stop" for event in events),
    "canonical": lambda events: any('"type":"finish"' in event.data for event in events),
    "data_stream": lambda events: any(event.data.startswith("d:") for event in events),
    "ollama": lambda events: any(_json(event).get("done") for event in events),
    "gemini": lambda events: any(event.data != "[DONE]" and _gemini_finish(_json(event)) for event in events),
    "openai_chat": lambda events: any(event.data == "[DONE]" for event in events),
    "openai_responses": lambda events: any(
        event.type in ("response.completed", "response.incomplete") for event in events
    ),
    "ui_message_stream": lambda events: any('"type":"finish"' in event.data for event in events),
}
