"""The canonical stream: `data: {"text":"…"}` for every piece of text, and one typed frame for everything else.

    data: {"text":"Hel"}
    data: {"text":"","type":"reasoning_delta","reasoning":"…"}
    data: {"text":"","type":"refusal","refusal":"…"}
    data: {"text":"","type":"tool_call_start","id":"call_1","name":"get_weather"}
    data: {"text":"","type":"tool_call_delta","id":"call_1","arguments":"{\\"ci"}
    data: {"text":"","type":"tool_call_invalid","id":"call_1","path":"city","expected":"string","got":"number"}
    data: {"text":"","type":"tool_call_end","id":"call_1","name":"get_weather","arguments":"{\\"city\\":\\"Oslo\\"}"}
    data: {"text":"","type":"tool_call_result","id":"call_1","result_type":"web_search_tool_result","result":[…]}
    data: {"text":"","type":"citation","citation":{"url":"…","title":"…","cited_text":"…","start":0,"end":5}}
    data: {"text":"","type":"file","media_type":"image/png","data":"…"}
    data: {"text":"","type":"json","json":{"city":"Os"}}
    data: {"text":"","type":"usage","usage":{"input_tokens":12,"output_tokens":34}}
    data: {"text":"","type":"finish","reason":"stop"}
    data: {"text":"","type":"error","error":{"type":"cut","message":"…","retryable":true}}
    data: [DONE]

* Blocks may interleave: tool frames name their call by `id`, so nothing waits for anything.
* `kind` (`custom`, `server`) stands in the start and end of a call whose arguments are no JSON or that the provider
  runs itself. The end of a call that an error interrupted is never written.
* `usage` comes once, directly before `finish` or `error`, with the counts that the provider reported and no others.
* `[DONE]` is last, after an error too: an EventSource that sees the end without it would reconnect and pay again.
* The stream of an EventSource begins with `id: <stream>`, an event of nothing: a connection that is lost later is asked
  for again with that id, so that the proxy can tell it from a new question (it answers 204: nothing to go on with).
* A resumable stream numbers its frames, `[DONE]` included, from 1: `id: <stream>:<number>`.
* Opaque reasoning and signatures have no frame: this dialect has no field to give them back in.
* `json` is the longest valid value so far of the current text, when the caller asked for JSON; with `partial_json` a
  `tool_call_delta` bears such a value of its arguments where it has changed. `Snapshots` says how often.
* `tool_call_invalid` comes with `check_arguments` only, right behind the delta that breaks the tool's schema, once for each
  property; the call goes on. `canonical_checks` says what is looked at.
"""

from io import StringIO
from typing import assert_never

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.canonical_checks import ArgumentsCheck, Rules
from proxy.dialects.canonical_request import OPTIONS, Options
from proxy.dialects.canonical_snapshots import GrowingJson, Snapshots
from proxy.hub.errors import RETRYABLE
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
from proxy.hub.request import FormatKind

MAX_ARGUMENTS_CHARS = 16 * 1024 * 1024
"""Of all open calls. A call that exceeds it is not repeated whole: its `tool_call_end` has no `arguments`."""

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": keep-alive\n\n"

_encode = msgspec.json.Encoder().encode


class _Call:
    """An open tool call."""

    __slots__ = ("arguments", "block", "check", "json", "prefix", "size")

    def __init__(self, block: ToolCallBlock, partial_json: bool, rules: Rules | None) -> None:
        self.block = block
        self.prefix = b'{"text":"","type":"tool_call_delta","id":%b,"arguments":' % _encode(block.id)
        self.arguments: StringIO | None = StringIO()
        """`None`: too long to keep."""
        self.size = 0
        self.json = GrowingJson() if partial_json and block.kind is not ToolKind.CUSTOM else None
        self.check = ArgumentsCheck(rules) if rules is not None and block.kind is ToolKind.FUNCTION else None


class CanonicalEncoder:
    """`StreamEncoder` of the canonical stream; the frames are in the module's docstring."""

    def __init__(self, context: StreamContext) -> None:
        self._wants_json = is_json(context)
        self._options = OPTIONS.decode(context.variant) if context.variant else Options()
        self._id_prefix = None if context.resume_id is None else f"id: {context.resume_id}:".encode()
        reconnects = self._options.reconnects and self._id_prefix is None
        self._opening = f"id: {context.id}\n".encode() if reconnects else b""
        """What the first bytes still have to begin with."""
        self._plain_text = self._id_prefix is None and not self._wants_json and not self._opening
        """A text delta is nothing but its frame: the template in `encode` is `_add` without its two calls."""
        self._frames = 0
        self._snapshots = Snapshots()
        self._texts: dict[int, GrowingJson] = {}
        self._calls: dict[int, _Call] = {}
        self._kept_chars = 0
        """Of the arguments of all open calls."""
        self._usage: Usage | None = None

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(_, text) if self._plain_text:
                    out.append(b'data: {"text":%b}\n\n' % _encode(text))
                case TextDelta(index, text):
                    self._add(out, b'{"text":%b}' % _encode(text))
                    if self._wants_json:
                        self._add_json(out, self._snapshots.next(self._texts[index], text))
                case ArgumentsDelta(index, json):
                    self._add_arguments(out, self._calls[index], json)
                case ReasoningDelta(_, text):
                    self._add(out, b'{"text":"","type":"reasoning_delta","reasoning":%b}' % _encode(text))
                case RefusalDelta(_, text):
                    self._add(out, b'{"text":"","type":"refusal","refusal":%b}' % _encode(text))
                case _:
                    self._encode_rare(out, event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return self._opening + HEARTBEAT

    def _encode_rare(self, out: list[bytes], event: RareEvent) -> None:
        match event:
            case BlockStart(index, block):
                self._start_block(out, index, block)
            case BlockEnd(index):
                self._end_block(out, index)
            case CitationAdded():
                self._add_typed(out, "citation", citation=citation_fields(event))
            case Usage():
                self._usage = event
            case MessageEnd():
                self._add_usage(out)
                self._add_typed(out, "finish", **finish_fields(event))
                self._add(out, b"[DONE]")
            case StreamError(kind, message):
                self._add_usage(out)
                error = {"type": kind.value, "message": message, "retryable": kind in RETRYABLE}
                self._add_typed(out, "error", error=error)
                self._add(out, b"[DONE]")
            case MessageStart() | SignatureAdded():
                pass
            case _:
                assert_never(event)

    def _start_block(self, out: list[bytes], index: int, block: Block) -> None:
        match block:
            case ToolCallBlock():
                self._calls[index] = _Call(block, self._options.partial_json, self._options.checks.get(block.name))
                self._add_typed(out, "tool_call_start", **call_fields(block))
            case ToolResultBlock():
                self._add_typed(out, "tool_call_result", **result_fields(block))
            case MediaBlock():
                self._add_typed(out, "file", **file_fields(block))
            case TextBlock():
                if self._wants_json:
                    self._texts[index] = GrowingJson()
            case ReasoningBlock() | RedactedReasoningBlock() | RefusalBlock():
                pass
            case _:
                assert_never(block)

    def _end_block(self, out: list[bytes], index: int) -> None:
        call = self._calls.pop(index, None)
        if call is not None:
            fields = call_fields(call.block)
            if call.arguments is not None:
                fields["arguments"] = whole_arguments(call.block, call.arguments.getvalue())
                self._kept_chars -= call.size
            self._add_typed(out, "tool_call_end", **fields)
            return
        text = self._texts.pop(index, None)
        if text is not None:
            self._add_json(out, text.last())

    def _add_arguments(self, out: list[bytes], call: _Call, piece: str) -> None:
        if call.arguments is not None:
            self._keep(call, call.arguments, piece)
        value = self._snapshots.next(call.json, piece) if call.json is not None else None
        if value is None:
            self._add(out, b"%b%b}" % (call.prefix, _encode(piece)))
        else:
            self._add(out, b'%b%b,"json":%b}' % (call.prefix, _encode(piece), value))
        for breach in () if call.check is None else call.check.feed(piece):
            fields = {"path": breach.path, "expected": breach.expected, "got": breach.got}
            self._add_typed(out, "tool_call_invalid", id=call.block.id, **fields)

    def _keep(self, call: _Call, arguments: StringIO, piece: str) -> None:
        call.size += arguments.write(piece)
        self._kept_chars += len(piece)
        if self._kept_chars > MAX_ARGUMENTS_CHARS:
            self._kept_chars -= call.size
            call.arguments = None

    def _add_json(self, out: list[bytes], value: bytes | None) -> None:
        if value is not None:
            self._add(out, b'{"text":"","type":"json","json":%b}' % value)

    def _add_usage(self, out: list[bytes]) -> None:
        if self._usage is not None and (fields := usage_fields(self._usage)):
            self._add_typed(out, "usage", usage=fields)

    def _add_typed(self, out: list[bytes], type_name: str, **fields: object) -> None:
        self._add(out, _encode({"text": "", "type": type_name, **fields}))

    def _add(self, out: list[bytes], data: bytes) -> None:
        if self._opening:
            out.append(self._opening + b"\n")
            self._opening = b""
            self._plain_text = not self._wants_json
        if self._id_prefix is None:
            out.append(b"data: %b\n\n" % data)
            return
        self._frames += 1
        out.append(b"%b%d\ndata: %b\n\n" % (self._id_prefix, self._frames, data))


# --- the fields of frames; whole answers use the same


def is_json(context: StreamContext) -> bool:
    """Whether the caller asked for an answer in JSON."""
    return context.response_format is not None and context.response_format.kind is not FormatKind.TEXT


def whole_arguments(block: ToolCallBlock, text: str) -> str:
    """The arguments of a finished call. A function call without any is a call with no arguments: `{}`."""
    return text if text or block.kind is ToolKind.CUSTOM else "{}"


def call_fields(block: ToolCallBlock) -> dict[str, object]:
    fields: dict[str, object] = {"id": block.id, "name": block.name}
    if block.kind is not ToolKind.FUNCTION:
        fields["kind"] = block.kind.value
    return fields


def result_fields(block: ToolResultBlock) -> dict[str, object]:
    """`result` is the provider's own JSON without white space, or its text where that is no JSON."""
    try:
        result: object = msgspec.Raw(msgspec.json.format(block.content.encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError):
        result = block.content
    fields: dict[str, object] = {"id": block.call_id, "result_type": block.type, "result": result}
    if block.is_error:
        fields["is_error"] = True
    return fields


def file_fields(block: MediaBlock) -> dict[str, object]:
    return _given(media_type=block.media_type, data=block.data, url=block.url)


def citation_fields(event: CitationAdded) -> dict[str, object]:
    return _given(url=event.url, title=event.title, cited_text=event.cited_text, start=event.start, end=event.end)


def usage_fields(usage: Usage) -> dict[str, object]:
    """Only what the provider reported; input includes cached input, output includes reasoning."""
    return _given(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cached_input_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        service_tier=usage.service_tier,
    )


def finish_fields(end: MessageEnd) -> dict[str, object]:
    return _given(reason=end.reason.value, stop_sequence=end.stop_sequence)


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
