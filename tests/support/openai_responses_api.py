"""The Responses API in tests: recordings, the real SDK as the reader of bytes, and the grammar of a stream.

`read_by_sdk` and `read_by_hub` give the same plain data for the same answer, so that a test compares them with `==`.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import httpx2
import openai
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from proxy.hub.codec import StreamDecoder
from proxy.hub.completion import CompletedBlock, fold
from proxy.hub.events import (
    TERMINAL_EVENTS,
    Event,
    MediaBlock,
    Origin,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)
from proxy.providers.base import Target
from proxy.providers.openai_responses.stream import ResponsesDecoder
from tests.support.answers import Pieces, whole
from tests.support.corpus import ROOT, recordings

FIXTURES = ROOT / "tests" / "fixtures" / "openai_responses"
TARGET = Target("p", "m")


@dataclass(frozen=True)
class Case:
    """One stream on the wire."""

    name: str
    body: bytes

    def __str__(self) -> str:
        return self.name


def fixture(name: str) -> bytes:
    """The bytes of one stream written for this project."""
    return (FIXTURES / f"{name}.sse").read_bytes()


def fixture_streams(pattern: str = "[!o]*.sse") -> list[Case]:
    """Streams written for this project; those that break a rule are named `odd-…`."""
    return [Case(path.stem, path.read_bytes()) for path in sorted(FIXTURES.glob(pattern))]


def recorded_streams() -> list[Case]:
    return [
        Case(found.path.name, found.response) for found in recordings(kind="openai_responses", stream=True, ok=True)
    ]


def decoded(decoder: StreamDecoder, body: bytes, pieces: Pieces = whole) -> list[Event]:
    """The events of a body that ends cleanly."""
    events: list[Event] = []
    for piece in pieces(body):
        events.extend(decoder.feed(piece))
    if not events or type(events[-1]) not in TERMINAL_EVENTS:
        events.extend(decoder.finish())
    return events


def decode(body: bytes, pieces: Pieces = whole) -> list[Event]:
    return decoded(ResponsesDecoder(TARGET), body, pieces)


def frames(body: bytes) -> list[dict[str, Any]]:
    """The objects in the `data:` lines of a stream with LF line ends, `[DONE]` left out."""
    lines = [line for line in body.decode().split("\n") if line.startswith("data:")]
    return [json.loads(line[5:]) for line in lines if line != "data: [DONE]"]


def sse(*events: dict[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


# --- what an answer says


@dataclass
class Reading:
    """What a caller gets of one answer."""

    text: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reasoning: list[tuple[str, str | None]] = field(default_factory=list)
    """Shown text and encrypted content; items with neither are left out."""
    calls: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Type of item, call id, name, arguments or input."""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    hosted: list[dict[str, Any]] = field(default_factory=list)
    """Whole items of hosted tools."""
    images: list[str] = field(default_factory=list)
    usage: dict[str, int] | None = None
    ending: str = ""
    """`completed`, `incomplete: reason` or `failed: message`."""


def client(body: bytes, content_type: str = "text/event-stream") -> openai.OpenAI:
    """The SDK, answered with `body`."""
    answer = httpx2.Response(200, headers={"content-type": content_type}, content=body)
    transport = httpx2.MockTransport(lambda request: answer)
    return openai.OpenAI(
        api_key="k", base_url="http://proxy/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def read_by_sdk(body: bytes) -> Reading:
    """Raw iteration: the done items, and the terminal event. Text is also added up from the deltas, and must agree."""
    items: dict[int, dict[str, Any]] = {}
    deltas: dict[tuple[int, str, int], str] = {}
    last: dict[str, Any] = {}
    try:
        for event in client(body).responses.create(model="m", input="x", stream=True):
            last = event.model_dump(exclude_unset=True, warnings=False)
            if last["type"] == "response.output_item.done":
                items[last["output_index"]] = last["item"]
            elif last["type"].endswith(".delta") and "output_index" in last:
                part = last.get("content_index", last.get("summary_index", 0))
                key = (last["output_index"], last["type"], part)
                deltas[key] = deltas.get(key, "") + last["delta"]
    except openai.APIError as fault:
        return _cut_short(items, deltas, f"failed: {fault.message}")
    if last["type"] not in ("response.completed", "response.incomplete"):
        # A flat error event is given to the caller as any other event.
        ending = f"failed: {last['message']}" if last["type"] == "error" else _ended(Reading(), last).ending
        return _cut_short(items, deltas, ending)
    reading = _reading_of([items[index] for index in sorted(items)])
    _check_deltas(reading, deltas)
    return _ended(reading, last)


def _cut_short(items: dict[int, dict[str, Any]], deltas: dict[tuple[int, str, int], str], ending: str) -> Reading:
    """What came of a stream that failed: done items, and the text of the others."""
    reading = _reading_of([items[index] for index in sorted(items)])
    for (index, type, _), text in sorted(deltas.items()):
        if type == "response.output_text.delta" and index not in items:
            reading.text.append(text)
    return replace(reading, ending=ending)


def read_by_helper(body: bytes) -> Reading:
    """`client.responses.stream(...)`, which checks the order of events, and its final response."""
    with client(body).responses.stream(model="m", input="x") as stream:
        response = stream.get_final_response().model_dump(exclude_unset=True, warnings=False)
    return _ended(_reading_of(response["output"]), {"type": "response.completed", "response": response})


def read_whole_by_sdk(body: bytes) -> Reading:
    """The answer to a request without `stream`."""
    answer = client(body, "application/json").responses.create(model="m", input="x")
    response = answer.model_dump(exclude_unset=True, warnings=False)
    return _ended(_reading_of(response["output"]), {"type": f"response.{response['status']}", "response": response})


def _ended(reading: Reading, last: dict[str, Any]) -> Reading:
    response = last.get("response") or {}
    ending = last["type"].removeprefix("response.")
    if ending == "incomplete":
        ending += ": " + response["incomplete_details"]["reason"]
    elif ending == "failed":
        ending += ": " + response["error"]["message"]
    return replace(reading, ending=ending, usage=_usage(response.get("usage")))


def _usage(usage: dict[str, Any] | None) -> dict[str, int] | None:
    if usage is None:
        return None
    return {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cached": (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        "reasoning": (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    }


def _reading_of(items: list[dict[str, Any]]) -> Reading:
    reading = Reading()
    for item in items:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    if part["type"] == "refusal":
                        reading.refusals.append(part["refusal"])
                    elif part["text"]:
                        reading.text.append(part["text"])
                        reading.annotations += part.get("annotations") or []
            case "reasoning":
                parts = [*(item.get("summary") or []), *(item.get("content") or [])]
                shown = "\n\n".join(part["text"] for part in parts)
                if shown or item.get("encrypted_content"):
                    reading.reasoning.append((shown, item.get("encrypted_content")))
            case "function_call":
                reading.calls.append((item["type"], item["call_id"], item["name"], item["arguments"]))
            case "custom_tool_call":
                reading.calls.append((item["type"], item["call_id"], item["name"], item["input"]))
            case "image_generation_call" if item.get("result"):
                reading.images.append(item["result"])
            case _:
                reading.hosted.append(item)
    return reading


def _check_deltas(reading: Reading, deltas: dict[tuple[int, str, int], str]) -> None:
    def streamed(type: str) -> list[str]:
        return [text for key, text in sorted(deltas.items()) if key[1] == type]

    assert streamed("response.output_text.delta") == reading.text
    assert streamed("response.refusal.delta") == reading.refusals
    calls = [
        *streamed("response.function_call_arguments.delta"),
        *streamed("response.custom_tool_call_input.delta"),
    ]
    assert sorted(calls) == sorted(arguments for *_, arguments in reading.calls if arguments)


def read_by_hub(events: list[Event]) -> Reading:
    """The same of canonical events."""
    completion = fold(events)
    reading = Reading()
    for done in completion.blocks:
        _add_block(reading, done)
    usage = completion.usage
    if usage is not None:
        reading.usage = {
            "input": usage.input or 0,
            "output": usage.output or 0,
            "cached": usage.cached_input or 0,
            "reasoning": usage.reasoning or 0,
        }
    if completion.error is not None:
        reading.ending = f"failed: {completion.error.message}"
    elif completion.end is not None:
        reason = completion.end.raw_reason
        reading.ending = "completed" if reason == "completed" else f"incomplete: {reason}"
    return reading


def _add_block(reading: Reading, done: CompletedBlock) -> None:
    proof = done.signature.signature if done.signature is not None else None
    match done.block:
        case TextBlock():
            reading.text.append(done.text)
            reading.annotations += [json.loads(citation.raw) for citation in done.citations if citation.raw]
        case RefusalBlock():
            reading.refusals.append(done.text)
        case ReasoningBlock():
            reading.reasoning.append((done.text, proof))
        case RedactedReasoningBlock(data):
            reading.reasoning.append(("", data))
        case ToolCallBlock(id, name, ToolKind.FUNCTION):
            reading.calls.append(("function_call", id, name, done.text))
        case ToolCallBlock(id, name, ToolKind.CUSTOM):
            reading.calls.append(("custom_tool_call", id, name, done.text))
        case ToolResultBlock(origin=Origin.OPENAI, raw=raw):
            reading.hosted.append(json.loads(raw or "null"))
        case MediaBlock(data=data) if data is not None:
            reading.images.append(data)
        case _:
            pass


# --- the grammar of a stream

EVENT_MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}
"""Every type of event that the SDK knows: its JavaScript sibling raises on any other."""

PARTS = {
    "response.output_text": ("response.content_part", "content_index", "text"),
    "response.refusal": ("response.content_part", "content_index", "refusal"),
    "response.reasoning_summary_text": ("response.reasoning_summary_part", "summary_index", "text"),
}
"""Texts that stand in a part: the part's events, its index, and where the done event has the text."""

CALLS = {
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.mcp_call_arguments": "arguments",
    "response.code_interpreter_call_code": "code",
}
"""Texts that stand in an item itself, and where the done event and the item have them."""


class Grammar:
    """Checks one written stream by the rules of the API and of its SDKs; `AssertionError` says what is wrong."""

    def __init__(self, starts_at: int = 0, is_relayed: bool = False) -> None:
        self._next_number = starts_at
        self._is_relayed = is_relayed
        self._response_id: str | None = None
        self._items: list[dict[str, Any]] = []
        self._done: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, str, int], str] = {}
        self._parts: dict[tuple[int, str, int], dict[str, Any]] = {}
        self._closed: set[tuple[int, str, int]] = set()
        self._annotations: dict[tuple[int, int], list[Any]] = {}
        self._seen: list[str] = []

    def check(self, body: bytes) -> None:
        assert body.endswith(b"\n\n")
        for block in body.decode().removesuffix("\n\n").split("\n\n"):
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            self._check(event)
        self._check_end()

    def _check(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        assert kind in EVENT_MODELS, f"unknown event type {kind}"
        assert event["sequence_number"] == self._next_number
        self._next_number += 1
        if not self._is_relayed:
            expected = ["response.created", "response.in_progress"][len(self._seen) : len(self._seen) + 1]
            assert expected in ([], [kind]), f"{kind} where {expected} must stand"
        assert not self._seen or self._seen[-1] not in ("response.completed", "response.incomplete", "response.failed")
        self._seen.append(kind)
        _check_type(event)
        if "response" in event:
            assert self._response_id in (None, event["response"]["id"])
            self._response_id = event["response"]["id"]
        elif kind == "response.output_item.added":
            self._add_item(event)
        elif kind == "response.output_item.done":
            self._end_item(event)
        elif kind != "error":
            self._check_item_event(kind, event)
        if kind in ("response.completed", "response.incomplete"):
            self._check_snapshot(event["response"])

    def _add_item(self, event: dict[str, Any]) -> None:
        assert event["output_index"] == len(self._items)
        assert event["item"]["id"] not in {item["id"] for item in self._items}
        self._items.append(event["item"])

    def _end_item(self, event: dict[str, Any]) -> None:
        index, item = event["output_index"], event["item"]
        assert index not in self._done
        added = self._items[index]
        assert {key: item.get(key) for key in ("id", "type", "call_id", "name")} == {
            key: added.get(key) for key in ("id", "type", "call_id", "name")
        }
        assert item.get("status") != "in_progress"
        open_parts = {key for key in self._parts if key[0] == index} - self._closed
        assert not open_parts
        parts = [part for key, part in sorted(self._parts.items()) if key[0] == index]
        if item["type"] == "message":
            assert item["content"] == parts
        elif item["type"] == "reasoning":
            assert item["summary"] == parts
        for (owner, text_type, _), text in self._texts.items():
            if owner == index and text_type in CALLS:
                assert item[CALLS[text_type]] == text
        self._done[index] = item

    def _check_item_event(self, kind: str, event: dict[str, Any]) -> None:
        index = event["output_index"]
        assert index < len(self._items), f"{kind} before its item"
        assert index not in self._done, f"{kind} after its item is done"
        assert event["item_id"] == self._items[index]["id"]
        text_type, _, word = kind.rpartition(".")
        if text_type in PARTS:
            self._check_text(text_type, word, event)
        elif text_type in CALLS:
            key = (index, text_type, 0)
            if word == "delta":
                self._texts[key] = self._texts.get(key, "") + event["delta"]
            else:
                assert event[CALLS[text_type]] == self._texts.get(key, "")
        elif text_type in {part for part, _, _ in PARTS.values()}:
            self._check_part(text_type, word, event)
        elif kind == "response.output_text.annotation.added":
            known = self._annotations.setdefault((index, event["content_index"]), [])
            assert event["annotation_index"] == len(known)
            assert (index, "response.content_part", event["content_index"]) not in self._closed
            known.append(event["annotation"])

    def _check_text(self, text_type: str, word: str, event: dict[str, Any]) -> None:
        part_type, index_name, text_name = PARTS[text_type]
        key = (event["output_index"], part_type, event[index_name])
        assert key in self._parts and key not in self._closed, f"{text_type} outside its part"
        if word == "delta":
            self._texts[key] = self._texts.get(key, "") + event["delta"]
        else:
            assert event[text_name] == self._texts.get(key, "")

    def _check_part(self, part_type: str, word: str, event: dict[str, Any]) -> None:
        index_name = "summary_index" if "summary" in part_type else "content_index"
        key = (event["output_index"], part_type, event[index_name])
        part = event["part"]
        text = part["refusal"] if part["type"] == "refusal" else part["text"]
        if word == "added":
            known = [other for other in self._parts if other[:2] == key[:2]]
            assert event[index_name] == len(known)
            assert text == ""
        else:
            assert key in self._parts and key not in self._closed
            assert text == self._texts.get(key, "")
            assert part.get("annotations", []) == self._annotations.get((key[0], key[2]), [])
            self._closed.add(key)
        self._parts[key] = part

    def _check_snapshot(self, response: dict[str, Any]) -> None:
        assert len(self._done) == len(self._items), "items that are not done"
        assert response["output"] == [self._done[index] for index in sorted(self._done)]
        if response["usage"] is not None:
            assert {"input_tokens_details", "output_tokens_details", "total_tokens"} <= set(response["usage"])

    def _check_end(self) -> None:
        if self._seen[-1] == "response.failed":
            assert self._seen[-2] == "error"
        else:
            assert self._seen[-1] in ("response.completed", "response.incomplete")
            assert "error" not in self._seen


def _check_type(event: dict[str, Any]) -> None:
    """The event fits the SDK's own model of its type, strictly, except where OpenAI itself goes beyond it."""
    copy = json.loads(json.dumps(event))
    response = copy.get("response")
    if response is not None and response["error"] is not None:
        # Recording openai-error: the service uses codes that its published list lacks.
        response["error"]["code"] = "server_error"
    item = copy.get("item")
    if item is not None and copy["type"] == "response.output_item.added" and item["type"] == "web_search_call":
        # The service's own announcement has no action yet.
        item.setdefault("action", {"type": "search"})
    EVENT_MODELS[copy["type"]].model_validate(copy, strict=True)
