"""Canonical events as Anthropic's stream.

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"…"}}

Every frame bears its type twice, because official SDKs look at the event's name and others at `data.type`. Blocks are
strictly sequential (`dialects.sequential`) and numbered densely: blocks that this dialect cannot say get no number.
Usage is cumulative; what is known only at the end replaces the zeros of `message_start`.
Spec: docs.anthropic.com/en/api/messages-streaming; anthropic SDK 2.12 `lib/streaming/_messages.py`.
"""

from typing import assert_never

import msgspec

from proxy.dialects.anthropic.content import (
    Json,
    call_proof,
    citation,
    message_head,
    message_usage,
    reasoning_proof,
    redacted,
    stop_reason,
    tool_call,
    tool_result,
    usage_counts,
)
from proxy.dialects.anthropic.errors import error_body
from proxy.dialects.base import StreamContext
from proxy.dialects.sequential import Sequencer
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    MediaBlock,
    MessageEnd,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)

_encode = msgspec.json.encode

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_DELTA_HEAD = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_DELTA_TAIL = b"}}\n\n"
_BLOCK_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'

_EMPTY_INPUT = msgspec.Raw(b"{}")


class AnthropicEncoder:
    """Writes one stream."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._sequencer = Sequencer()
        self._usage: Usage | None = None
        self._next_index = 0
        self._has_stop_reason = False
        # The block that is being written.
        self._head: bytes | None = None
        """What its deltas begin with; `None`: none is open, or the open one is left out."""
        self._call: ToolCallBlock | None = None
        self._is_proved = False
        """The proof of the call stands already."""
        self._is_reasoning = False
        self._signature: SignatureAdded | None = None

    def encode(self, events: list[Event]) -> bytes:
        events = self._sequencer.feed(events)
        out: list[bytes] = []
        for position, event in enumerate(events):
            match event:
                case TextDelta(_, text) | ReasoningDelta(_, text) | RefusalDelta(_, text):
                    if self._head is not None:
                        out.append(self._head + _encode(text) + _DELTA_TAIL)
                case ArgumentsDelta(_, json):
                    self._write_arguments(json, out)
                case BlockStart(index, block):
                    signature = _signature_of(events, position, index) if type(block) is ToolCallBlock else None
                    self._start_block(block, signature, out)
                case BlockEnd():
                    self._end_block(out)
                case SignatureAdded():
                    self._signature = event
                case CitationAdded():
                    self._write_citation(event, out)
                case Usage():
                    self._usage = event
                case MessageStart():
                    following = events[position + 1] if position + 1 < len(events) else None
                    self._start(event, following if isinstance(following, Usage) else None, out)
                case MessageEnd():
                    self._end(event, out)
                case StreamError(kind, message):
                    out.append(_named(b"error", error_body(kind, message)))
                case _:
                    assert_never(event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return PING

    def note_finish_reason(self) -> None:
        """See `hub.codec.EndsOnce`."""
        self._has_stop_reason = True

    # --- the message

    def _start(self, event: MessageStart, usage: Usage | None, out: list[bytes]) -> None:
        context = self._context
        head = message_head(event, context.id, context.model, message_usage(usage))
        out.append(_frame(b"message_start", {"type": "message_start", "message": head}))

    def _end(self, event: MessageEnd, out: list[bytes]) -> None:
        if not self._has_stop_reason:
            # Another one for the usage alone is no way out: SDKs take its reason, given or not, for the message's.
            delta: Json = {"stop_reason": stop_reason(event), "stop_sequence": event.stop_sequence}
            fields: Json = {"type": "message_delta", "delta": delta, "usage": usage_counts(self._usage)}
            out.append(_frame(b"message_delta", fields))
        out.append(MESSAGE_STOP)

    # --- blocks

    def _start_block(self, block: Block, signature: SignatureAdded | None, out: list[bytes]) -> None:
        self._head = self._call = self._signature = None
        self._is_reasoning = False
        match block:
            case TextBlock() | RefusalBlock():
                self._open({"type": "text", "text": ""}, b"text_delta", b"text", out)
            case ReasoningBlock():
                self._is_reasoning = True
                start: Json = {"type": "thinking", "thinking": "", "signature": ""}
                self._open(start, b"thinking_delta", b"thinking", out)
            case ToolCallBlock():
                self._start_call(block, signature, out)
            case RedactedReasoningBlock():
                self._write_whole(redacted(block), out)
            case ToolResultBlock():
                result = tool_result(block)
                if result is not None:
                    self._write_whole(result, out)
            case MediaBlock():
                pass
            case _:
                assert_never(block)

    def _start_call(self, block: ToolCallBlock, signature: SignatureAdded | None, out: list[bytes]) -> None:
        """A proof that is known already goes before its call: clients cut thinking off at the end of a message."""
        start = tool_call(block, _EMPTY_INPUT)
        if start is None:
            return
        self._call = block
        self._is_proved = signature is not None
        if signature is not None:
            self._write_whole(call_proof(block, signature), out)
        self._open(start, b"input_json_delta", b"partial_json", out)
        if block.kind is ToolKind.CUSTOM:
            out.append(self._delta('{"input":"'))

    def _open(self, start: Json | msgspec.Raw, delta_type: bytes, field: bytes, out: list[bytes]) -> None:
        index = self._next_index
        out.append(
            _frame(b"content_block_start", {"type": "content_block_start", "index": index, "content_block": start})
        )
        self._head = _DELTA_HEAD % (index, delta_type, field)

    def _write_whole(self, block: Json | msgspec.Raw, out: list[bytes]) -> None:
        self._open(block, b"", b"", out)
        self._close(out)

    def _close(self, out: list[bytes]) -> None:
        out.append(_BLOCK_STOP % self._next_index)
        self._next_index += 1
        self._head = None

    def _end_block(self, out: list[bytes]) -> None:
        if self._head is None:
            return
        call, signature = self._call, self._signature
        if self._is_reasoning:
            head = _DELTA_HEAD % (self._next_index, b"signature_delta", b"signature")
            out.append(head + _encode(reasoning_proof(signature)) + _DELTA_TAIL)
        if call is not None and call.kind is ToolKind.CUSTOM:
            out.append(self._delta('"}'))
        self._close(out)
        if call is not None and signature is not None and not self._is_proved:
            self._write_whole(call_proof(call, signature), out)

    # --- deltas

    def _delta(self, text: str) -> bytes:
        return (self._head or b"") + _encode(text) + _DELTA_TAIL

    def _write_arguments(self, json: str, out: list[bytes]) -> None:
        if self._head is None:
            return
        if self._call is not None and self._call.kind is ToolKind.CUSTOM:
            # Free text inside of the one string of an object.
            json = _encode(json)[1:-1].decode()
        out.append(self._head + _encode(json) + _DELTA_TAIL)

    def _write_citation(self, event: CitationAdded, out: list[bytes]) -> None:
        head = _DELTA_HEAD % (self._next_index, b"citations_delta", b"citation")
        out.append(head + _encode(citation(event)) + _DELTA_TAIL)


def _signature_of(events: list[Event], position: int, index: int) -> SignatureAdded | None:
    """The proof of the block that starts at `position`, if it came in the same read."""
    found: SignatureAdded | None = None
    for at in range(position + 1, len(events)):
        match events[at]:
            case SignatureAdded(of) as signature if of == index:
                found = signature
            case BlockEnd(of) if of == index:
                break
            case _:
                pass
    return found


def _frame(name: bytes, fields: Json) -> bytes:
    return _named(name, _encode(fields))


def _named(name: bytes, json: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, json)
