"""Cohere's answers as they come: one flat struct for all events, with the fields that are read.

Source: docs.cohere.com/reference/chat-stream; cohere-python 7.3.1 `types/*_event*.py`, `types/assistant_message_response.py`.
"""

from typing import Final, TypeVar

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import FinishReason, Usage
from proxy.hub.json_text import mended

FINISH_REASON: dict[str, FinishReason] = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP_SEQUENCE,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
}
"""Unknown words: OTHER, the word kept. `ERROR` and `TIMEOUT` are failures: see `errors.KIND_BY_REASON`."""

ABSENT: Final = msgspec.Raw(b"")

Number = int | float | None

T = TypeVar("T")


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    id: str | None = None
    function: Function | None = None


class Content(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class Message(msgspec.Struct, gc=False):
    """What an event adds. `content`, `tool_calls` and `citations` are objects in deltas and arrays elsewhere."""

    content: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    citations: msgspec.Raw = ABSENT
    tool_plan: str | None = None


class Tokens(msgspec.Struct, gc=False):
    input_tokens: Number = None
    output_tokens: Number = None
    reasoning_tokens: Number = None
    image_tokens: Number = None


class WireUsage(msgspec.Struct, gc=False):
    tokens: Tokens | None = None
    cached_tokens: Number = None


class Delta(msgspec.Struct, gc=False):
    message: Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: str | None = None


class Event(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    index: int = 0
    delta: Delta | None = None
    message: msgspec.Raw = ABSENT
    """Of an error in the place of an event: its words."""


class Whole(msgspec.Struct, gc=False):
    """A whole answer."""

    id: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None


class _Document(msgspec.Struct, gc=False):
    id: str | None = None
    title: str | None = None
    url: str | None = None
    snippet: str | None = None


class Source(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    document: _Document | None = None


class Citation(msgspec.Struct, gc=False):
    start: int | None = None
    end: int | None = None
    type: str | None = None
    sources: list[Source] | None = None


EVENT: Final = msgspec.json.Decoder(Event)
WHOLE: Final = msgspec.json.Decoder(Whole)
CITATION: Final = msgspec.json.Decoder(Citation)
_CONTENT: Final = msgspec.json.Decoder(Content)
_CONTENTS: Final = msgspec.json.Decoder(list[Content])
_CALL: Final = msgspec.json.Decoder(ToolCall)
_CALLS: Final = msgspec.json.Decoder(list[ToolCall])
_TEXT: Final = msgspec.json.Decoder(str)
_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])


def read(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw) -> T:
    """What `json` holds. Raises UpstreamProtocolError for fields of another type than the API's."""
    text = bytes(json)
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError) as fault:
        repaired = mended(text)
        if repaired == text:
            raise UpstreamProtocolError(f"The provider sent what its API does not allow: {fault}") from fault
    return read(decoder, repaired)


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a field was there and not null or empty."""
    return bytes(raw) not in (b"", b"null", b"[]", b"{}", b'""')


def content_of(delta: Message) -> Content:
    """The content that a delta adds, or begins."""
    return read(_CONTENT, delta.content) if is_given(delta.content) else Content()


def call_of(delta: Message) -> ToolCall:
    """The call that a delta adds to, or begins."""
    return read(_CALL, delta.tool_calls) if is_given(delta.tool_calls) else ToolCall()


def contents_of(message: Message) -> list[Content]:
    """The contents of a whole message; text alone may come as a string."""
    if bytes(message.content)[:1] == b'"':
        return [Content("text", read(_TEXT, message.content))]
    return read(_CONTENTS, message.content) if is_given(message.content) else []


def calls_of(message: Message) -> list[ToolCall]:
    """The calls of a whole message."""
    return read(_CALLS, message.tool_calls) if is_given(message.tool_calls) else []


def citations_of(message: Message) -> list[msgspec.Raw]:
    """The citations of a whole message."""
    return read(_RAWS, message.citations) if is_given(message.citations) else []


def usage_of(wire: WireUsage) -> Usage | None:
    """The counts of what the model read and wrote, not of what is billed; `None` when there are none.

    `input_tokens` leaves out the images' tokens (recording vision-models…can-understand-local-image); `output_tokens`
    includes reasoning, `input_tokens` what was cached.
    """
    tokens = wire.tokens or Tokens()
    usage = Usage(
        input=None if tokens.input_tokens is None else int(tokens.input_tokens + (tokens.image_tokens or 0)),
        output=_whole(tokens.output_tokens),
        cached_input=_whole(wire.cached_tokens),
        reasoning=_whole(tokens.reasoning_tokens),
    )
    return None if usage == Usage() else usage


def _whole(number: Number) -> int | None:
    return None if number is None else int(number)
