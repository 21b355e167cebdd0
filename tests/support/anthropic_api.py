"""Anthropic's API in tests: its recordings, its SDK as the reader of bytes, and both sides of a comparison.

`read_by_sdk` and `read_by_hub` give the same plain data for the same message, so that a test compares them with `==`.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import pytest

from proxy.hub.completion import Completion, fold
from proxy.hub.events import (
    Event,
    MessageEnd,
    ReasoningBlock,
    RedactedReasoningBlock,
    RefusalBlock,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
)
from proxy.providers.anthropic.stream import AnthropicDecoder
from proxy.providers.base import Target
from tests.support.corpus import ABSENT, ROOT, Recording, all_recordings, recordings

FIXTURES = ROOT / "tests" / "fixtures" / "anthropic"

needs_recordings = pytest.mark.skipif(not all_recordings(), reason=ABSENT)

STOP_EVENT = b'"message_stop"'


@dataclass(frozen=True)
class Case:
    """One message on the wire."""

    name: str
    body: bytes

    def __str__(self) -> str:
        return self.name


def fixture_streams(pattern: str = "*.sse") -> list[Case]:
    """Streams written for this project."""
    return [Case(path.stem, path.read_bytes()) for path in sorted(FIXTURES.glob(pattern))]


def fixture(name: str) -> bytes:
    """The bytes of one stream written for this project."""
    return (FIXTURES / f"{name}.sse").read_bytes()


def recorded_streams() -> list[Case]:
    """Recorded streams. A file that holds several messages (one per turn of an agent) gives as many cases."""
    cases: list[Case] = []
    for recording in recordings(dialect="anthropic-messages", stream=True):
        bodies = _messages(recording.response)
        cases += [Case(_name(recording, number), body) for number, body in enumerate(bodies)]
    return cases


def _name(recording: Recording, number: int = 0) -> str:
    name = recording.path.name.removeprefix("anthropic__")
    return f"{name}-{number}" if number else name


def good_streams() -> list[Case]:
    """Every stream that the API really sends, whole."""
    fixtures = [case for case in fixture_streams() if not case.name.startswith(("odd-", "mid-stream-error"))]
    return fixtures + recorded_streams()


def recorded_answers(*, ok: bool) -> list[Recording]:
    """Recorded answers that are no streams."""
    return recordings(dialect="anthropic-messages", stream=False, ok=ok)


def request_params() -> list[Any]:
    """The bodies of recorded requests as pytest parameters; one skipped parameter without recordings."""
    found = recordings(dialect="anthropic-messages", where=lambda recording: recording.request is not None)
    if not all_recordings():
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=ABSENT))]
    cases = [Case(_name(recording), json.dumps((recording.request or {})["body"]).encode()) for recording in found]
    return [pytest.param(case, id=case.name) for case in cases]


def _messages(body: bytes) -> list[bytes]:
    bodies: list[bytes] = []
    start = 0
    while (stop := body.find(STOP_EVENT, start)) >= 0:
        end = body.find(b"\n\n", stop)
        end = len(body) if end < 0 else end + 2
        bodies.append(body[start:end])
        start = end
    return bodies


# --- streams written in a test


def sse(*events: object) -> bytes:
    """A stream of JSON objects, named by their `type`."""
    out = b""
    for event in events:
        assert isinstance(event, dict)
        out += f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return out


def start(**usage: int) -> dict[str, object]:
    return {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": usage}}


def block(index: int, **fields: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, **fields: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stop(index: int) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def ending(reason: str | None = "end_turn", **usage: int) -> tuple[dict[str, object], dict[str, object]]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, {"type": "message_stop"}


TEXT = (block(0, type="text", text=""), delta(0, type="text_delta", text="Hi"), stop(0))
"""A block of text."""


def decode(*pieces: bytes, target: Target = Target("anthropic", "m")) -> list[Event]:  # noqa: B008 - immutable
    """The canonical events of a stream that arrives in `pieces`."""
    decoder = AnthropicDecoder(target)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    if not events or not isinstance(events[-1], MessageEnd | StreamError):
        events += decoder.finish()
    return events


# --- both sides of a comparison


@dataclass
class Seen:
    """What a reader saw of one message."""

    blocks: list[Any] = field(default_factory=list)
    reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    model: str = ""


def client(body: bytes, content_type: str = "text/event-stream", status: int = 200) -> anthropic.Anthropic:
    """An SDK client whose every call is answered with `body`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type, "request-id": "req_t"}, content=body)

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="test", max_retries=0, http_client=httpx2.Client(transport=transport))


def call(messages: Any, method: str, **extra: Any) -> Any:
    """One SDK call with the least that it needs."""
    asked = [{"role": "user", "content": "x"}]
    return getattr(messages, method)(model="m", max_tokens=9, messages=asked, **extra)


def read_by_sdk(body: bytes) -> Seen:
    """What the SDK's accumulating helper makes of a stream."""
    with call(client(body).beta.messages, "stream") as stream:
        return seen_of_message(stream.get_final_message())


def read_whole_by_sdk(body: bytes) -> Seen:
    """What the SDK makes of an answer that is no stream."""
    return seen_of_message(call(client(body, "application/json").beta.messages, "create"))


def read_raw_by_sdk(body: bytes) -> list[Any]:
    """The events of the SDK's plain iterator, as dicts."""
    return [event.to_dict(warnings=False) for event in call(client(body).messages, "create", stream=True)]


def seen_of_message(message: Any) -> Seen:
    usage = message.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    counts = {
        "input": usage.input_tokens + cached + written,
        "output": usage.output_tokens,
        "cached": cached,
        "written": written,
        "thinking": getattr(usage.output_tokens_details, "thinking_tokens", None) or 0,
    }
    blocks = [_seen_of_block(block.to_dict(warnings=False)) for block in message.content]
    return Seen(blocks, message.stop_reason, message.stop_sequence, counts, message.model)


def _seen_of_block(block: Any) -> Any:
    match block["type"]:
        case "text":
            return ("text", block["text"], block.get("citations") or [])
        case "thinking":
            return ("thinking", block["thinking"], block["signature"])
        case "redacted_thinking":
            return ("redacted", block["data"])
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            return (block["type"], block["id"], block["name"], block["input"], block.get("caller"))
        case _:
            return block


def read_by_hub(events: list[Event]) -> Seen:
    """The same of canonical events."""
    return seen_of_completion(fold(events))


def seen_of_completion(completion: Completion) -> Seen:
    usage = completion.usage
    counts = {
        "input": usage.input or 0 if usage else 0,
        "output": usage.output or 0 if usage else 0,
        "cached": usage.cached_input or 0 if usage else 0,
        "written": usage.cache_write or 0 if usage else 0,
        "thinking": usage.reasoning or 0 if usage else 0,
    }
    blocks = [_seen_of_completed(done) for done in completion.blocks]
    end = completion.end
    reason, sequence = (end.raw_reason, end.stop_sequence) if end is not None else (None, None)
    return Seen(blocks, reason, sequence, counts, completion.model)


def _seen_of_completed(done: Any) -> Any:
    match done.block:
        case TextBlock() | RefusalBlock():
            return ("text", done.text, [json.loads(citation.raw) for citation in done.citations])
        case ReasoningBlock():
            return ("thinking", done.text, done.signature.signature if done.signature else "")
        case RedactedReasoningBlock(data):
            return ("redacted", data)
        case ToolCallBlock(id, name, kind):
            raw = json.loads(done.block.raw) if done.block.raw else {}
            type = "tool_use" if kind is not ToolKind.SERVER else raw["type"]
            return (type, id, name, json.loads(done.text), raw.get("caller"))
        case ToolResultBlock():
            return json.loads(done.block.raw)
        case _:
            raise AssertionError(done)
