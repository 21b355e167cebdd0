"""Converse answers as they come: one flat struct for the payloads of all events, with the fields that are read.

Source: botocore 1.44 `bedrock-runtime/2023-09-30/service-2.json`, shape ConverseStreamOutput.
"""

import base64
import binascii
from typing import Final, TypeVar

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.events import FinishReason, Usage
from proxy.hub.json_text import mended

FINISH_REASON: dict[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "malformed_model_output": FinishReason.OTHER,
    "malformed_tool_use": FinishReason.MALFORMED_CALL,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
}
"""All of shape StopReason. Unknown words: OTHER, the word kept."""

ABSENT: Final = msgspec.Raw(b"")

T = TypeVar("T")


class ToolUse(msgspec.Struct, gc=False):
    toolUseId: str | None = None
    name: str | None = None
    type: str | None = None
    """`server_tool_use`: the service runs it itself."""
    input: msgspec.Raw = ABSENT
    """A fragment of JSON text in a delta, an object in a whole answer."""


class ToolResult(msgspec.Struct, gc=False):
    toolUseId: str | None = None
    type: str | None = None
    status: str | None = None
    content: msgspec.Raw = ABSENT


class ImageSource(msgspec.Struct, gc=False):
    bytes: str | None = None


class Image(msgspec.Struct, gc=False):
    format: str | None = None
    source: ImageSource | None = None


class Start(msgspec.Struct, gc=False):
    toolUse: ToolUse | None = None
    toolResult: ToolResult | None = None
    image: Image | None = None


class ReasoningText(msgspec.Struct, gc=False):
    text: str | None = None
    signature: str | None = None


class Reasoning(msgspec.Struct, gc=False):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None
    reasoningText: ReasoningText | None = None
    """In a whole answer."""


class Delta(msgspec.Struct, gc=False):
    text: str | None = None
    toolUse: ToolUse | None = None
    reasoningContent: Reasoning | None = None
    citation: msgspec.Raw = ABSENT
    toolResult: msgspec.Raw = ABSENT
    image: Image | None = None


class WireUsage(msgspec.Struct, gc=False):
    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None


class ServiceTier(msgspec.Struct, gc=False):
    type: str | None = None


class Payload(msgspec.Struct, gc=False):
    contentBlockIndex: int = 0
    start: Start | None = None
    delta: Delta | None = None
    stopReason: str | None = None
    usage: WireUsage | None = None
    serviceTier: ServiceTier | None = None


class _CitationText(msgspec.Struct, gc=False):
    text: str | None = None


class _Web(msgspec.Struct, gc=False):
    url: str | None = None
    domain: str | None = None


class _Location(msgspec.Struct, gc=False):
    web: _Web | None = None


class Citation(msgspec.Struct, gc=False):
    title: str | None = None
    source: str | None = None
    sourceContent: list[_CitationText] | None = None
    location: _Location | None = None


class CitationsContent(msgspec.Struct, gc=False):
    content: list[_CitationText] | None = None
    citations: list[msgspec.Raw] | None = None


class Content(msgspec.Struct, gc=False):
    """One block of a whole answer."""

    text: str | None = None
    toolUse: ToolUse | None = None
    toolResult: ToolResult | None = None
    reasoningContent: Reasoning | None = None
    citationsContent: CitationsContent | None = None
    image: Image | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[Content] | None = None


class _Output(msgspec.Struct, gc=False):
    message: _Message | None = None


class Whole(msgspec.Struct, gc=False):
    output: _Output | None = None
    stopReason: str | None = None
    usage: WireUsage | None = None
    serviceTier: ServiceTier | None = None
    message: str | None = None
    """Of an error in the place of an answer."""


PAYLOAD: Final = msgspec.json.Decoder(Payload)
WHOLE: Final = msgspec.json.Decoder(Whole)
CITATION: Final = msgspec.json.Decoder(Citation)
RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


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


def json_of(raw: msgspec.Raw) -> str:
    """An input as JSON text: a string is the text (of a delta), anything else is itself."""
    text = bytes(raw)
    if text in (b"", b"null"):
        return ""
    return read(_TEXT, raw) if text[:1] == b'"' else text.decode("utf-8", "replace")


def unpacked(blob: str) -> str:
    """The text inside a blob. Raises UpstreamProtocolError for what is no base64 of a text."""
    try:
        return base64.b64decode(blob, validate=True).decode()
    except (binascii.Error, ValueError) as fault:
        raise UpstreamProtocolError("The provider sent redacted content that is no base64.") from fault


def usage_of(wire: WireUsage, tier: ServiceTier | None) -> Usage:
    """`inputTokens` leaves out what was read from and written to the cache (recording bedrock-converse-stream-prompt-caching:
    12 + 1028 + 250 = 1290)."""
    read, written = wire.cacheReadInputTokens, wire.cacheWriteInputTokens
    return Usage(
        input=None if wire.inputTokens is None else wire.inputTokens + (read or 0) + (written or 0),
        output=wire.outputTokens,
        cached_input=read,
        cache_write=written,
        service_tier=tier.type if tier is not None else None,
    )
