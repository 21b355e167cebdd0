"""Writes Ollama's stream: JSON objects, one a line.

    {"model":"m","created_at":"2026-09-21T00:00:00Z","message":{"role":"assistant","content":"Hel"},"done":false}
    {…,"message":{"role":"assistant","content":"","thinking":"Let me see."},"done":false}
    {…,"message":{"role":"assistant","content":"","tool_calls":[{"id":…,"function":{"index":0,"name":…,"arguments":{…}}}]},…}
    {…,"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":7}
    {"error":"What went wrong"}

* `/api/generate` has `response` and `thinking` in place of `message`; calls stand there beside them.
* A call is given whole when its block ends, its arguments as an object. One whose arguments are no JSON cannot be said: a
  model that was cut off there says so by its `done_reason`, any other answer with such a call is an error.
* Counts that the provider did not report are absent; so are durations, which nobody reports. They are in the last line.
* Sources, proofs of reasoning, and tools that the provider runs itself have no place in this format.
* ollama-python splits lines at U+0085, U+2028 and U+2029 as well: they are escaped.
"""

from datetime import UTC, datetime
from typing import Final, assert_never

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.ollama_request import GENERATE
from proxy.dialects.open_calls import OpenCall, OpenCalls
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
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
    ToolResultBlock,
    Usage,
)

DONE_REASON: Final[dict[FinishReason, str]] = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.TOOL_CALLS: "stop",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.MALFORMED_CALL: "stop",
    FinishReason.OTHER: "stop",
}
"""Total. Ollama has no word for a filter, and clients take any: `stop` would be untrue."""

_BREAKS: Final = (("\x85".encode(), b"\\u0085"), ("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))

Json = dict[str, object]

_to_json = msgspec.json.Encoder().encode


def _encode(value: object) -> bytes:
    json = _to_json(value)
    if not json.isascii():
        for character, escape in _BREAKS:
            json = json.replace(character, escape)
    return json


class OllamaEncoder:
    """`StreamEncoder` of both methods; the lines are in the module's docstring."""

    def __init__(self, context: StreamContext) -> None:
        self._is_generate = context.variant == GENERATE
        self._context = context
        self._set_model(context.model)
        self._calls = OpenCalls()
        self._call_count = 0
        self._broken_call = ""
        """The name of a call that could not be said."""
        self._has_refused = False
        self._usage: Usage | None = None

    def _set_model(self, model: str) -> None:
        self._head = b'{"model":%b,"created_at":"%b",' % (_encode(model), created_at(self._context).encode())
        if self._is_generate:
            self._text = self._head + b'"response":'
            self._thinking = self._text + b'"","thinking":'
            self._tail = b',"done":false}\n'
        else:
            self._text = self._head + b'"message":{"role":"assistant","content":'
            self._thinking = self._text + b'"","thinking":'
            self._tail = b'},"done":false}\n'

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(_, text) | RefusalDelta(_, text):
                    out.append(b"%b%b%b" % (self._text, _encode(text), self._tail))
                case ReasoningDelta(_, text):
                    out.append(b"%b%b%b" % (self._thinking, _encode(text), self._tail))
                case ArgumentsDelta(index, json):
                    self._calls.add(index, json)
                case _:
                    self._encode_rare(out, event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return b'%b""%b' % (self._text, self._tail)

    def _encode_rare(self, out: list[bytes], event: RareEvent) -> None:
        match event:
            case BlockStart(index, block):
                self._start_block(out, index, block)
            case BlockEnd(index):
                if index in self._calls:
                    self._end_call(out, self._calls.end(index))
            case Usage():
                self._usage = event
            case MessageStart(_, model):
                if model:
                    self._set_model(model)
            case MessageEnd(reason):
                self._finish(out, reason)
            case StreamError(_, message):
                out.append(b'{"error":%b}\n' % _encode(message or "The stream failed."))
            case SignatureAdded() | CitationAdded():
                pass
            case _:
                assert_never(event)

    def _start_block(self, out: list[bytes], index: int, block: Block) -> None:
        match block:
            case ToolCallBlock():
                self._calls.start(index, block)
            case RefusalBlock():
                self._has_refused = True
            case MediaBlock(media_type, data) if data is not None and media_type.startswith("image/"):
                field = b'"","image":%b' if self._is_generate else b'"","images":[%b]'
                out.append(self._text + field % _encode(data) + self._tail)
            case TextBlock() | ReasoningBlock() | RedactedReasoningBlock() | ToolResultBlock():
                pass
            case MediaBlock():
                # An address, or no image: the format has neither.
                pass
            case _:
                assert_never(block)

    def _end_call(self, out: list[bytes], call: OpenCall) -> None:
        if call.block.kind is ToolKind.SERVER:
            return
        arguments = call.object_json()
        if arguments is None:
            self._broken_call = call.block.name
            return
        function = {"index": self._call_count, "name": call.block.name, "arguments": msgspec.Raw(arguments)}
        self._call_count += 1
        calls = _encode([{"id": call.block.id, "function": function}])
        out.append(b'%b"","tool_calls":%b%b' % (self._text, calls, self._tail))

    def _finish(self, out: list[bytes], reason: FinishReason) -> None:
        if self._broken_call and DONE_REASON[reason] == "stop":
            out.append(b'{"error":%b}\n' % _encode(broken_call_message(self._broken_call)))
            return
        end = end_fields(reason, self._usage, has_refused=self._has_refused)
        message: Json = {"response": ""} if self._is_generate else {"message": {"role": "assistant", "content": ""}}
        out.append(self._head + _encode(message)[1:-1] + b"," + _encode(end)[1:] + b"\n")


# --- the fields of the last line; whole answers use the same


def created_at(context: StreamContext) -> str:
    return datetime.fromtimestamp(context.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def end_fields(reason: FinishReason, usage: Usage | None, *, has_refused: bool) -> Json:
    """Why the answer ended, and the counts that were reported; a refusal in its own words is the filter's."""
    reason = FinishReason.REFUSAL if has_refused and reason is FinishReason.STOP else reason
    end: Json = {"done": True, "done_reason": DONE_REASON[reason]}
    if usage is not None:
        counts = {"prompt_eval_count": usage.input, "eval_count": usage.output}
        end |= {name: count for name, count in counts.items() if count is not None}
    return end


def broken_call_message(name: str) -> str:
    """What is wrong with an answer whose call cannot be said."""
    return f"The model called {name[:200]!r} with arguments that are not valid JSON."
