"""Anthropic's answers as canonical events: the stream, and the whole message.

    message_start                                  MessageStart, Usage
    content_block_start / _delta / _stop           BlockStart, deltas, BlockEnd
    message_delta                                  Usage; the stop reason waits
    message_stop                                   MessageEnd, the only success
    error                                          StreamError
    ping, and whatever this version does not know  nothing

`MessageReader` takes the JSON of one event at a time, whatever framed it; `AnthropicDecoder` cuts server-sent events.
Spec: docs.anthropic.com/en/api/messages-streaming; anthropic SDK 2.12 `types/raw_message_stream_event.py`.

Leniency, for the service's own future and for servers that speak its API: blocks are looked up by the wire's index and
renumbered, a delta of a block that was never started starts it, an event without `type` is named by its SSE name.
"""

from enum import Enum, auto

import msgspec

from proxy.framing.sse import SseFramer
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    Block,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from proxy.hub.identifiers import read_back
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.anthropic.errors import read_error, stream_error
from proxy.providers.anthropic.wire import (
    Delta,
    WireBlock,
    WireEvent,
    WireMessage,
    WireUsage,
    decode_block,
    decode_citation,
    decode_event,
    decode_message,
    is_error_object,
    is_given,
    text_of,
)
from proxy.providers.base import Target
from proxy.providers.custom_tools import Unwrapper

FINISH_REASON: dict[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "compaction": FinishReason.PAUSE,
    "refusal": FinishReason.CONTENT_FILTER,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
}
"""`refusal` is the word of a classifier that stopped the stream, not of the model: no refusal text exists, and a caller
must see that the answer was filtered. Unknown words: OTHER, the word kept."""


class _Kind(Enum):
    """What may stand in an open block."""

    TEXT = auto()
    REASONING = auto()
    CALL = auto()
    WHOLE = auto()
    """It was complete when it started."""
    HIDDEN = auto()
    """A kind of block that the hub does not carry."""


class _Open:
    """A block between its start and its stop."""

    __slots__ = ("has_arguments", "index", "input", "kind", "unwrapper")

    def __init__(self, index: int, kind: _Kind) -> None:
        self.index = index
        self.kind = kind
        self.input = ""
        """A call's arguments where its start held them; deltas replace them."""
        self.has_arguments = False
        self.unwrapper: Unwrapper | None = None


class AnthropicDecoder:
    """Reads one streamed answer."""

    def __init__(self, target: Target) -> None:
        self._framer = SseFramer(target.max_frame_bytes)
        self._reader = MessageReader(target.custom_tools)
        self._fault: UpstreamProtocolError | None = None
        """A fault that came behind good events in one read: they go first, it is raised at the next call."""

    def feed(self, data: bytes) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        reader = self._reader
        try:
            for name, json in self._framer.feed(data):
                reader.read(json, out, name)
        except UpstreamProtocolError as fault:
            if not out:
                raise
            self._fault = fault
        return out

    def finish(self) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        frame = self._framer.finish()
        if frame is not None:
            try:
                self._reader.read(frame[1], out, frame[0])
            except UpstreamProtocolError:
                out.clear()
        if not self._reader.is_ended:
            bare = self._framer.bare_json
            is_error = read_error(bare) is not None
            out.append(stream_error(bare) if is_error else StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return out

    @property
    def has_finish_reason(self) -> bool:
        """See `hub.codec.TellsFinish`."""
        return self._reader.has_stop_reason


class MessageReader:
    """Reads the events of one message. Nothing is read after its ending."""

    def __init__(self, custom_tools: frozenset[str] = frozenset()) -> None:
        self._custom_tools = custom_tools
        self.is_ended = False
        self._is_started = False
        self._open: dict[int, _Open] = {}
        """By the wire's index."""
        self._blocks = 0
        self._has_calls = False
        self._usage = Usage()
        self._uncached_input: int | None = None
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None

    def read(self, json: bytes, out: list[Event], name: bytes = b"") -> None:
        """Add the canonical events that one event is; `name` is its SSE name. Raises UpstreamProtocolError."""
        if self.is_ended:
            return
        event = decode_event(json, name)
        kind = event.type or name.decode("utf-8", "replace")
        if kind == "content_block_delta":
            if event.delta is not None:
                self._read_delta(event.index, event.delta, out)
        elif kind == "content_block_start":
            if event.content_block:
                self._start_block(event.index, event.content_block, out)
        elif kind == "content_block_stop":
            self._end_block(event.index, out)
        elif kind == "message_delta":
            self._read_message_delta(event, out)
        elif kind == "message_start":
            self.start(event.message or WireMessage(), out)
        elif kind == "message_stop":
            self.end(out)
        elif kind == "error" or (is_given(event.error) and not kind):
            self.is_ended = True
            out.append(stream_error(json))

    @property
    def has_stop_reason(self) -> bool:
        return self._stop_reason is not None

    # --- the message

    def start(self, message: WireMessage, out: list[Event]) -> None:
        """Begin, with the blocks and the stop reason that `message` has already.

        The service sends those in `message_start` when it resumes a program between two tool calls
        (recording anthropic-programmatic-tool-calling.1).
        """
        if not self._is_started:
            self._is_started = True
            out.append(MessageStart(message.id or "", message.model or ""))
            self._merge_usage(message.usage, out)
            self._note_stop(message.stop_reason, message.stop_sequence)
            for index, raw in enumerate(message.content or ()):
                self._start_block(index, raw, out)
                self._end_block(index, out)

    def _ensure_started(self, out: list[Event]) -> None:
        if not self._is_started:
            self.start(WireMessage(), out)

    def _read_message_delta(self, event: WireEvent, out: list[Event]) -> None:
        self._ensure_started(out)
        if event.delta is not None:
            self._note_stop(event.delta.stop_reason, event.delta.stop_sequence)
        self._merge_usage(event.usage, out)

    def _note_stop(self, reason: str | None, sequence: str | None) -> None:
        """Keep why the message stops; it may be said more than once."""
        self._stop_reason = reason if reason is not None else self._stop_reason
        self._stop_sequence = sequence if sequence is not None else self._stop_sequence

    def end(self, out: list[Event]) -> None:
        """The success terminator, after the ends of blocks that were left open."""
        self._ensure_started(out)
        for index in list(self._open):
            self._end_block(index, out)
        self.is_ended = True
        out.append(MessageEnd(self._finish_reason(), self._stop_reason, self._stop_sequence))

    def _finish_reason(self) -> FinishReason:
        """Tool calls are told by their presence: some servers of this API say `end_turn` to them, or nothing."""
        word = self._stop_reason
        reason = FinishReason.OTHER if word is None else FINISH_REASON.get(word, FinishReason.OTHER)
        if self._has_calls and (word is None or reason is FinishReason.STOP):
            return FinishReason.TOOL_CALLS
        if reason is FinishReason.TOOL_CALLS and not self._has_calls:
            return FinishReason.STOP
        return reason

    def _merge_usage(self, wire: WireUsage | None, out: list[Event]) -> None:
        """Totals replace; what a later report leaves out keeps its value. `input_tokens` excludes the cache's tokens."""
        if wire is None:
            return
        old = self._usage
        if wire.input_tokens is not None:
            self._uncached_input = wire.input_tokens
        details = wire.output_tokens_details
        cached = _latest(wire.cache_read_input_tokens, old.cached_input)
        written = _latest(wire.cache_creation_input_tokens, old.cache_write)
        uncached = self._uncached_input
        self._usage = Usage(
            input=None if uncached is None else uncached + (cached or 0) + (written or 0),
            output=_latest(wire.output_tokens, old.output),
            cached_input=cached,
            cache_write=written,
            reasoning=_latest(details.thinking_tokens if details is not None else None, old.reasoning),
            service_tier=wire.service_tier or old.service_tier,
        )
        if self._usage != old:
            out.append(self._usage)

    # --- blocks

    def _start_block(self, wire_index: int, raw: msgspec.Raw, out: list[Event]) -> None:
        """Open the block that `raw` describes, with what of it is there already."""
        block = decode_block(raw)
        self._ensure_started(out)
        if wire_index in self._open:
            self._end_block(wire_index, out)
        if block.type == "text":
            opened = self._start(wire_index, _Kind.TEXT, TextBlock(), out)
            for citation in block.citations or ():
                out.append(_citation(opened.index, citation))
            if block.text:
                out.append(TextDelta(opened.index, block.text))
        elif block.type == "thinking":
            opened = self._start(wire_index, _Kind.REASONING, ReasoningBlock(), out)
            if block.thinking:
                out.append(ReasoningDelta(opened.index, block.thinking))
            if block.signature:
                out.append(SignatureAdded(opened.index, block.signature, Origin.ANTHROPIC))
        elif block.type == "redacted_thinking":
            self._start(wire_index, _Kind.WHOLE, RedactedReasoningBlock(block.data or "", Origin.ANTHROPIC), out)
        elif block.type.endswith("tool_use"):
            self._start_call(wire_index, block, raw, out)
        elif block.type.endswith("_tool_result"):
            self._start(wire_index, _Kind.WHOLE, _tool_result(block, raw), out)
        else:
            self._open[wire_index] = _Open(-1, _Kind.HIDDEN)

    def _start_call(self, wire_index: int, block: WireBlock, raw: msgspec.Raw, out: list[Event]) -> None:
        name = read_back(block.name or "")
        is_ours = block.type == "tool_use"
        if not is_ours:
            kind = ToolKind.SERVER
        else:
            self._has_calls = True
            kind = ToolKind.CUSTOM if name in self._custom_tools else ToolKind.FUNCTION
        # Only Anthropic's own callers can use these fields, and only then is the block kept as it came.
        is_special = not is_ours or is_given(block.caller) or is_given(block.toolset_name)
        keep = is_special and name == block.name
        call = ToolCallBlock(
            id=block.id or f"toolu_{self._blocks}",
            name=name,
            kind=kind,
            raw=text_of(raw) if keep else None,
            origin=Origin.ANTHROPIC if keep else None,
        )
        opened = self._start(wire_index, _Kind.CALL, call, out)
        opened.input = text_of(block.input) if is_given(block.input) else "{}"
        if kind is ToolKind.CUSTOM:
            opened.unwrapper = Unwrapper()

    def _start(self, wire_index: int, kind: _Kind, block: Block, out: list[Event]) -> _Open:
        self._ensure_started(out)
        opened = _Open(self._blocks, kind)
        self._open[wire_index] = opened
        self._blocks += 1
        out.append(BlockStart(opened.index, block))
        return opened

    def _end_block(self, wire_index: int, out: list[Event]) -> None:
        """Close the block, if it is open."""
        opened = self._open.pop(wire_index, None)
        if opened is None or opened.kind is _Kind.HIDDEN:
            return
        if opened.kind is _Kind.CALL:
            if not opened.has_arguments:
                self._add_arguments(opened, opened.input, out)
            if opened.unwrapper is not None and (rest := opened.unwrapper.finish()):
                out.append(ArgumentsDelta(opened.index, rest))
        out.append(BlockEnd(opened.index))

    # --- deltas

    def _read_delta(self, wire_index: int, delta: Delta, out: list[Event]) -> None:
        """A delta in a block that cannot have it is ignored, as the official SDKs do."""
        opened = self._open.get(wire_index)
        kind = delta.type
        if kind == "text_delta":
            if opened is None:
                opened = self._start(wire_index, _Kind.TEXT, TextBlock(), out)
            if delta.text and opened.kind is _Kind.TEXT:
                out.append(TextDelta(opened.index, delta.text))
        elif kind == "input_json_delta":
            if delta.partial_json and opened is not None and opened.kind is _Kind.CALL:
                opened.has_arguments = True
                self._add_arguments(opened, delta.partial_json, out)
        elif kind == "thinking_delta":
            if opened is None:
                opened = self._start(wire_index, _Kind.REASONING, ReasoningBlock(), out)
            if delta.thinking and opened.kind is _Kind.REASONING:
                out.append(ReasoningDelta(opened.index, delta.thinking))
        elif opened is not None:
            if kind == "signature_delta":
                if delta.signature and opened.kind is _Kind.REASONING:
                    out.append(SignatureAdded(opened.index, delta.signature, Origin.ANTHROPIC))
            elif kind == "citations_delta" and delta.citation and opened.kind is _Kind.TEXT:
                out.append(_citation(opened.index, delta.citation))

    def _add_arguments(self, opened: _Open, json: str, out: list[Event]) -> None:
        if opened.unwrapper is not None:
            json = opened.unwrapper.feed(json)
        if json:
            out.append(ArgumentsDelta(opened.index, json))


def decode_completion(body: bytes, target: Target) -> Completion:
    """A whole message. Raises UpstreamError for an error object, UpstreamProtocolError for anything else."""
    message = decode_message(body)
    if message.content is None:
        if read_error(body) is None:
            raise UpstreamProtocolError("The provider's answer is not a message.")
        ending = stream_error(body)
        raise UpstreamError(ending.kind, ending.message, status=200, code=ending.code)
    reader = MessageReader(target.custom_tools)
    events: list[Event] = []
    reader.start(message, events)
    reader.end(events)
    return fold(events)


def _tool_result(block: WireBlock, raw: msgspec.Raw) -> ToolResultBlock:
    content = text_of(block.content) if block.content else "null"
    is_error = block.is_error if block.is_error is not None else is_error_object(content)
    return ToolResultBlock(
        block.tool_use_id or "", content, Origin.ANTHROPIC, type=block.type, is_error=is_error, raw=text_of(raw)
    )


def _citation(index: int, raw: msgspec.Raw) -> CitationAdded:
    """Anthropic's positions count the document's characters, not the answer's: `start` and `end` stay unknown."""
    text = text_of(raw)
    citation = decode_citation(text)
    return CitationAdded(
        index,
        url=citation.url or citation.source,
        title=citation.title or citation.document_title,
        cited_text=citation.cited_text,
        raw=text,
        origin=Origin.ANTHROPIC,
    )


def _latest(new: int | None, old: int | None) -> int | None:
    return old if new is None else new
