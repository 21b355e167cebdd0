"""Write a Chat Completions stream.

    data: {"id": …, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}
    …     deltas
    data: {… "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "service_tier": …}     where it is known
    data: {… "choices": [], "usage": {…}}              only if the caller asked for usage
    data: [DONE]

What the SDKs insist on (openai-python 3.54.0, openai-node 7.57.0): `id`, `type` and the name of a tool call stand in its
first fragment only, `role` in the first chunk only, because their helpers join what comes twice; tool indexes are dense
from 0; entries of other lists need an `index` as well; nothing but `[DONE]` follows the usage; no key is null where an
error could stand. Reasoning goes out as `reasoning_content`, its proofs as `reasoning_details` (see `reasoning`).

Tool calls may interleave, and so may text with reasoning. Two blocks of one such kind may not, because callers join
their deltas: the later one waits for the end of the earlier (no API is known to send that, the hub allows it).
"""

from typing import Final, assert_never

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.openai_chat.parts import annotation, finish_reason, image, service_tier, usage_object
from proxy.dialects.openai_chat.reasoning import call_detail, redacted_detail, signature_detail
from proxy.dialects.openai_chat.request import FUNCTIONS
from proxy.dialects.openai_errors import error_object
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
    Origin,
    RareEvent,
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
    Usage,
)

DONE: Final = b"data: [DONE]\n\n"
HEARTBEAT: Final = b": keep-alive\n\n"
"""A comment; OpenAI's Python SDK fails on every other event without JSON."""

ContentBlock = TextBlock | ReasoningBlock | RefusalBlock

_MESSAGE_EVENTS = (MessageStart, Usage, MessageEnd, StreamError)
"""Events that belong to no block."""

_json = msgspec.json.Encoder().encode


class _Call:
    """An open tool call, with the bytes around each fragment of its arguments."""

    __slots__ = ("after", "before", "has_arguments", "id")

    def __init__(self, call_id: str, before: bytes, after: bytes) -> None:
        self.id = call_id
        self.before = before
        self.after = after
        self.has_arguments = False


class ChatEncoder:
    """One caller's stream."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._is_deprecated = context.variant == FUNCTIONS
        self._ended = False
        self._has_finish_reason = False
        self._usage: Usage | None = None
        self._calls: dict[int, _Call] = {}
        """Tool calls by block index."""
        self._text_starts: dict[int, int] = {}
        """How much text there was when each content block began."""
        self._text_chars = 0
        self._reasoning_starts: dict[int, int] = {}
        """The same for reasoning."""
        self._reasoning_chars = 0
        self._open_content: dict[type[Block], int] = {}
        """The block of each joined kind that goes out now."""
        self._lanes: dict[int, Sequencer] = {}
        """What puts a block behind others of its kind, by block index; empty unless two of them were open at once."""
        self._details = 0
        self._annotations = 0
        self._images = 0
        self._frame(context.model)

    def _frame(self, model: str) -> None:
        """The bytes around every delta, and around each of the hot ones."""
        context = self._context
        head = {
            "id": f"chatcmpl-{context.id}",
            "object": "chat.completion.chunk",
            "created": context.created,
            "model": model,
        }
        self._head = b"data: " + _json(head)[:-1] + b',"choices":['
        self._open = self._head + b'{"index":0,"delta":'
        self._close = b',"finish_reason":null}]}\n\n'
        self._close_object = b"}" + self._close
        self._before_text = self._open + b'{"content":'
        self._before_reasoning = self._open + b'{"reasoning_content":'
        self._before_refusal = self._open + b'{"refusal":'

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._ended:
                break
            if self._lanes:
                self._take_in_lane(event, out)
            else:
                self._take(event, out)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return HEARTBEAT

    def note_finish_reason(self) -> None:
        """See `hub.codec.EndsOnce`."""
        self._has_finish_reason = True

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta(_, text):
                self._text_chars += len(text)
                out.append(self._before_text + _json(text) + self._close_object)
            case ReasoningDelta(_, text):
                self._reasoning_chars += len(text)
                out.append(self._before_reasoning + _json(text) + self._close_object)
            case ArgumentsDelta(index, json):
                call = self._calls.get(index)
                if call is not None and json:
                    call.has_arguments = True
                    out.append(call.before + _json(json) + call.after)
            case RefusalDelta(_, text):
                out.append(self._before_refusal + _json(text) + self._close_object)
            case _:
                self._write(event, out)

    def _take_in_lane(self, event: Event, out: list[bytes]) -> None:
        lane = None if isinstance(event, _MESSAGE_EVENTS) else self._lanes.get(event.index)
        for ready in [event] if lane is None else lane.feed([event]):
            self._take(ready, out)

    # --- everything that is not hot

    def _write(
        self,
        event: RareEvent,
        out: list[bytes],
    ) -> None:
        match event:
            case BlockStart(index, block):
                self._start_block(index, block, out)
            case BlockEnd(index):
                self._end_block(index, out)
            case MessageStart(_, model):
                if model:
                    self._frame(model)
                out.append(self._delta({"role": "assistant", "content": ""}))
            case Usage():
                self._usage = event
            case SignatureAdded():
                out.append(self._signature(event))
            case CitationAdded():
                self._cite(event, out)
            case MessageEnd():
                self._end(event, out)
            case StreamError(kind, message, code):
                self._ended = True
                out.append(b"data: " + _json({"error": error_object(kind, message, code)}) + b"\n\n")
            case _:
                assert_never(event)

    def _delta(self, delta: dict[str, object]) -> bytes:
        return self._open + _json(delta) + self._close

    def _start_block(self, index: int, block: Block, out: list[bytes]) -> None:
        match block:
            case TextBlock() | ReasoningBlock() | RefusalBlock():
                self._start_content(index, block)
            case ToolCallBlock() if block.kind is not ToolKind.SERVER:
                self._start_call(index, block, out)
            case RedactedReasoningBlock():
                out.append(self._delta({"reasoning_details": [redacted_detail(block, self._next_detail())]}))
            case MediaBlock():
                if (written := image(block, self._images)) is not None:
                    self._images += 1
                    out.append(self._delta({"images": [written]}))
            case _:
                # What a provider runs itself has no place here.
                pass

    def _start_content(self, index: int, block: ContentBlock) -> None:
        kind = type(block)
        current = self._open_content.get(kind)
        if current is not None:
            lane = self._lanes.get(current)
            if lane is None:
                lane = self._lanes[current] = Sequencer()
                lane.feed([BlockStart(current, block)])
            self._lanes[index] = lane
            lane.feed([BlockStart(index, block)])
            return
        self._open_content[kind] = index
        self._text_starts[index] = self._text_chars
        self._reasoning_starts[index] = self._reasoning_chars

    def _end_block(self, index: int, out: list[bytes]) -> None:
        """A call without arguments gets an empty object: callers parse what they have joined."""
        for kind, current in self._open_content.items():
            if current == index:
                del self._open_content[kind]
                return
        call = self._calls.get(index)
        if call is not None and not call.has_arguments:
            call.has_arguments = True
            out.append(call.before + b'"{}"' + call.after)

    def _start_call(self, index: int, block: ToolCallBlock, out: list[bytes]) -> None:
        if self._is_deprecated:
            if not self._calls:
                out.append(self._delta({"function_call": {"name": block.name, "arguments": ""}}))
                before = self._open + b'{"function_call":{"arguments":'
                self._calls[index] = _Call(block.id, before, b"}}" + self._close)
            return
        number = len(self._calls)
        kind, field = ("custom", "input") if block.kind is ToolKind.CUSTOM else ("function", "arguments")
        first = {"index": number, "id": block.id, "type": kind, kind: {"name": block.name, field: ""}}
        out.append(self._delta({"tool_calls": [first]}))
        before = self._open + f'{{"tool_calls":[{{"index":{number},"{kind}":{{"{field}":'.encode()
        call = _Call(block.id, before, b"}}]}" + self._close)
        # An empty text is a text, not a missing object.
        call.has_arguments = block.kind is ToolKind.CUSTOM
        self._calls[index] = call

    def _signature(self, event: SignatureAdded) -> bytes:
        call = self._calls.get(event.index)
        if call is None:
            start = self._reasoning_starts.get(event.index, 0)
            detail = signature_detail(event, (start, self._reasoning_chars), self._next_detail())
        elif event.origin is Origin.GEMINI and not self._is_deprecated:
            # As Gemini's own compatible endpoint does, so that its callers give it back with the call: beside an
            # empty fragment, because the Python SDK's helper insists on one.
            extra = _json({"google": {"thought_signature": event.signature}})
            return call.before + b'""},"extra_content":' + extra + call.after[1:]
        else:
            detail = call_detail(event, call.id, self._next_detail())
        return self._delta({"reasoning_details": [detail]})

    def _next_detail(self) -> int:
        self._details += 1
        return self._details - 1

    def _cite(self, event: CitationAdded, out: list[bytes]) -> None:
        written = annotation(event, self._text_starts.get(event.index, 0), self._text_chars)
        if written is not None:
            written["index"] = self._annotations
            self._annotations += 1
            out.append(self._delta({"annotations": [written]}))

    def _end(self, event: MessageEnd, out: list[bytes]) -> None:
        self._ended = True
        word = finish_reason(event.reason, is_deprecated=self._is_deprecated)
        tier = service_tier(self._usage)
        told = b"" if tier is None else b',"service_tier":"' + tier.encode() + b'"'
        if not self._has_finish_reason:
            out.append(self._open + b'{},"finish_reason":"' + word.encode() + b'"}]' + told + b"}\n\n")
        if self._context.include_usage and self._usage is not None:
            out.append(self._head + b'],"usage":' + _json(usage_object(self._usage)) + b"}\n\n")
        out.append(DONE)
