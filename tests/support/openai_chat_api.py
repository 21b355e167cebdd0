"""Chat Completions in tests: its recordings, the official SDK as the reader of bytes, and both sides of a comparison."""

import functools
import json
import random
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from proxy.hub.completion import Completion, fold
from proxy.hub.events import (
    Event,
    MessageEnd,
    ReasoningBlock,
    RefusalBlock,
    StreamError,
    TextBlock,
    ToolCallBlock,
    ToolKind,
)
from proxy.providers.base import Target
from proxy.providers.openai_chat.stream import ChatDecoder
from proxy.providers.quirks import Quirks
from tests.support.corpus import ABSENT, ROOT, Recording, all_recordings, recordings
from tests.support.readers import openai_chat as reader
from tests.support.readings import Reading, Tokens, ToolCall, failed, parsed

FIXTURES = ROOT / "tests" / "fixtures" / "openai_chat"

needs_recordings = pytest.mark.skipif(not all_recordings(), reason=ABSENT)

TARGET = Target("vendor", "m")


@dataclass(frozen=True)
class Case:
    """One answer on the wire."""

    name: str
    body: bytes

    def __str__(self) -> str:
        return self.name


def fixture(name: str) -> bytes:
    """The bytes of one stream written for this project."""
    return (FIXTURES / f"{name}.sse").read_bytes()


def fixture_streams() -> list[Case]:
    return [Case(path.stem, path.read_bytes()) for path in sorted(FIXTURES.glob("*.sse"))]


def recorded_streams() -> list[Case]:
    return [Case(one.name, one.response) for one in recordings(kind="openai_chat", stream=True)]


def streams() -> list[Case]:
    """Every stream there is: recorded ones, and those written for this project."""
    return fixture_streams() + recorded_streams()


def recorded_answers(*, ok: bool) -> list[Recording]:
    """Recorded answers that are no streams."""
    return recordings(kind="openai_chat", stream=False, ok=ok)


def recorded_requests() -> list[Case]:
    """The bodies of recorded requests."""
    found = recordings(kind="openai_chat", where=lambda recording: recording.request is not None)
    return [Case(one.name, json.dumps((one.request or {})["body"]).encode()) for one in found]


# --- streams written in a test


def sse(*chunks: object) -> bytes:
    """A stream of JSON chunks; a text or bytes stands as it is, `"[DONE]"` for instance."""
    return b"".join(
        b"data: " + (chunk.encode() if isinstance(chunk, str) else json.dumps(chunk).encode()) + b"\n\n"
        for chunk in chunks
    )


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "model": "m", "choices": [choice], **fields}


def call(index: int | None = 0, **fields: Any) -> dict[str, Any]:
    """A delta with one fragment of a tool call: `name` and `arguments` go into its function."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    fragment = {"function": function, **fields}
    if index is not None:
        fragment["index"] = index
    return {"tool_calls": [fragment]}


# --- decoding


def target(**quirks: Any) -> Target:
    return Target("vendor", "m", Quirks(**quirks))


def decode(body: bytes, pieces: list[bytes] | None = None, to: Target = TARGET) -> list[Event]:
    """All events of a stream whose body ended cleanly."""
    decoder = ChatDecoder(to)
    events: list[Event] = []
    for piece in pieces or [body]:
        events += decoder.feed(piece)
    if events and isinstance(events[-1], MessageEnd | StreamError):
        return events
    return events + decoder.finish()


def random_split(body: bytes, seed: int, most: int = 40) -> list[bytes]:
    """`body` in up to `most` pieces."""
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(most - 1))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def reading(events: list[Event]) -> Reading:
    """What a stream's events say, in the common terms of readings."""
    return reading_of(fold(events))


def reading_of(completion: Completion) -> Reading:
    texts = {TextBlock: "", ReasoningBlock: "", RefusalBlock: ""}
    calls: list[ToolCall] = []
    for done in completion.blocks:
        if type(done.block) in texts:
            texts[type(done.block)] += done.text
        elif isinstance(done.block, ToolCallBlock) and done.block.kind is not ToolKind.SERVER:
            calls.append(ToolCall(done.block.id, done.block.name, parsed(done.text)))
    usage = completion.usage
    found = Reading(
        texts[TextBlock],
        texts[ReasoningBlock],
        texts[RefusalBlock],
        tuple(calls),
        None
        if usage is None
        else Tokens(usage.input, usage.output, usage.cached_input, usage.cache_write, usage.reasoning),
        None if completion.end is None else completion.end.reason.value,
    )
    if completion.error is not None:
        return failed(found, RuntimeError(completion.error.message))
    return found


# --- the SDK


class _Vendor:
    """Answers every request of the one SDK client: making a client costs a hundred times more than a call."""

    answer: httpx2.Response

    @functools.cached_property
    def sdk(self) -> openai.OpenAI:
        transport = httpx2.MockTransport(lambda request: self.answer)
        http_client = httpx2.Client(transport=transport)
        return openai.OpenAI(api_key="k", base_url="http://vendor/v1", max_retries=0, http_client=http_client)


_VENDOR = _Vendor()


def client(body: bytes, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> openai.OpenAI:
    """The official SDK, answered with `body` until the next call of this function."""
    _VENDOR.answer = httpx2.Response(status, headers={"content-type": content_type, **headers}, content=body)
    return _VENDOR.sdk


MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


def sdk_chunks(body: bytes) -> list[dict[str, Any]]:
    """Every chunk that the SDK yields. Raises what the SDK raises."""
    stream = client(body).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    return [one.model_dump(exclude_unset=True, warnings=False) for one in stream]


def read_by_sdk(body: bytes) -> Reading:
    """Raw iteration, put together by a reader that knows the vendors' deviations."""
    deltas = reader._Deltas()
    try:
        stream = client(body).chat.completions.create(model="m", messages=MESSAGES, stream=True)
        for one in stream:
            deltas.add(one.model_dump(exclude_unset=True, warnings=False))
    except Exception as fault:
        return failed(deltas.reading(), fault)
    return deltas.reading()


def read_by_helper(body: bytes) -> dict[str, Any]:
    """The message that the SDK's accumulating helper puts together, with its finish reason and usage."""
    with client(body).chat.completions.stream(model="m", messages=MESSAGES) as stream:
        try:
            completion = stream.get_final_completion()
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            completion = stream.current_completion_snapshot  # type: ignore[assignment]
    found = completion.model_dump(exclude_unset=True, warnings=False)
    return {**found["choices"][0]["message"], "finish_reason": found["choices"][0]["finish_reason"], "whole": found}


def read_whole_by_sdk(body: bytes) -> Reading:
    """A whole answer."""
    completion = client(body, content_type="application/json").chat.completions.create(model="m", messages=MESSAGES)
    return reader.reading_of_completion(completion.model_dump(exclude_unset=True, warnings=False))
