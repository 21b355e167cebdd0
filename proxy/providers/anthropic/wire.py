"""The JSON that Anthropic sends, as flat structs of the fields that are read, and the careful decoding of it.

Fields and kinds that this version does not know are ignored, whatever their shape; a known field of a wrong type is an
UpstreamProtocolError, and nothing else escapes. Spec: anthropic SDK 2.12 `types/raw_message_stream_event.py`,
`types/content_block.py`, `types/message_delta_usage.py`.
"""

from typing import TypeVar

import msgspec

from proxy.hub.errors import UpstreamProtocolError
from proxy.hub.json_text import mended

T = TypeVar("T")

ABSENT = msgspec.Raw(b"")
"""A raw field that the JSON does not have."""


class Delta(msgspec.Struct, gc=False):
    """Every field of every kind of delta, and of `message_delta`."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = ABSENT
    stop_reason: str | None = None
    stop_sequence: str | None = None


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class WireMessage(msgspec.Struct, gc=False):
    """The head of a message in `message_start`, and all of it when it comes whole."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: WireUsage | None = None


class WireEvent(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: msgspec.Raw = ABSENT
    message: WireMessage | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = ABSENT


class WireBlock(msgspec.Struct, gc=False):
    """Every field of every kind of content block that is read."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citations: list[msgspec.Raw] | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = ABSENT
    caller: msgspec.Raw = ABSENT
    toolset_name: msgspec.Raw = ABSENT
    tool_use_id: str | None = None
    content: msgspec.Raw = ABSENT
    is_error: bool | None = None


class WireCitation(msgspec.Struct, gc=False):
    """What the kinds of citation have for other families to see; the rest stays in the raw JSON."""

    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


class _TypeOnly(msgspec.Struct, gc=False):
    type: str = ""


class _Types(msgspec.Struct, gc=False):
    type: str = ""
    delta: _TypeOnly | None = None


_EVENT = msgspec.json.Decoder(WireEvent)
_BLOCK = msgspec.json.Decoder(WireBlock)
_CITATION = msgspec.json.Decoder(WireCitation)
_MESSAGE = msgspec.json.Decoder(WireMessage)
_TYPES = msgspec.json.Decoder(_Types)
_TYPE_ONLY = msgspec.json.Decoder(_TypeOnly)

_KNOWN_EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
_KNOWN_DELTAS = frozenset({"text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta"})
_KNOWN_BLOCKS = ("text", "thinking", "redacted_thinking")
_KNOWN_BLOCK_ENDINGS = ("tool_use", "_tool_result")

_IGNORED = WireEvent(type="ping")


def decode_event(json: bytes, name: bytes = b"") -> WireEvent:
    """One event of a stream; `name` is its SSE name. Raises UpstreamProtocolError."""
    try:
        return _EVENT.decode(json)
    except (ValueError, RecursionError):
        return _decode_odd_event(json, name)


def decode_block(raw: msgspec.Raw) -> WireBlock:
    """A content block. One of an unknown kind comes without its fields. Raises UpstreamProtocolError."""
    try:
        return _decode(_BLOCK, bytes(raw), "content block")
    except UpstreamProtocolError:
        kind = _type_of(bytes(raw))
        if not kind or kind in _KNOWN_BLOCKS or kind.endswith(_KNOWN_BLOCK_ENDINGS):
            raise
        return WireBlock(type=kind)


def decode_citation(json: str) -> WireCitation:
    """A citation of any kind. Raises UpstreamProtocolError."""
    return _decode(_CITATION, json.encode(), "citation")


def decode_message(body: bytes) -> WireMessage:
    """A whole message. Raises UpstreamProtocolError."""
    return _decode(_MESSAGE, body, "answer")


def is_error_object(json: str) -> bool:
    """Whether a server tool's result is its error (`web_search_tool_result_error` and its like)."""
    return _type_of(json.encode()).endswith("_error")


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a raw field stands in the JSON, and not as null."""
    return bool(raw) and bytes(raw) != b"null"


def text_of(raw: msgspec.Raw) -> str:
    """JSON text; msgspec does not look into raw values, so malformed UTF-8 shows only here."""
    return bytes(raw).decode("utf-8", "replace")


def _decode(decoder: msgspec.json.Decoder[T], json: bytes, what: str) -> T:
    try:
        return decoder.decode(json)
    except (msgspec.ValidationError, RecursionError) as fault:
        raise _not_allowed(what, fault) from fault
    except ValueError as fault:
        whole = mended(json)
        if whole == json:
            raise _not_allowed(what, fault) from fault
        return _decode(decoder, whole, what)


def _decode_odd_event(json: bytes, name: bytes) -> WireEvent:
    if json.strip() == b"[DONE]":
        # Not of this API; some servers that speak it add it.
        return _IGNORED
    try:
        return _decode(_EVENT, json, "event")
    except UpstreamProtocolError:
        if name == b"error":
            return WireEvent(type="error")
        if _is_unknown(json):
            return _IGNORED
        raise


def _is_unknown(json: bytes) -> bool:
    """Whether an event that does not fit our structs is of a kind that this version does not know."""
    try:
        types = _TYPES.decode(json)
    except (ValueError, RecursionError):
        kind = _type_of(json)
        return bool(kind) and kind not in _KNOWN_EVENTS
    if types.type == "content_block_delta" and types.delta is not None:
        return types.delta.type not in _KNOWN_DELTAS
    return types.type not in _KNOWN_EVENTS


def _type_of(json: bytes) -> str:
    """The `type` of a JSON object; empty when it has none, or is none."""
    try:
        return _TYPE_ONLY.decode(json).type
    except (ValueError, RecursionError):
        return ""


def _not_allowed(what: str, fault: Exception) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"The API of the provider does not allow this {what}: {fault}.")
