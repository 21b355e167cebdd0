"""Writes a Gemini stream: whole responses, as server-sent events or as one JSON array.

    data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"modelVersion":…,"responseId":…}
    data: {"candidates":[{"content":{…},"finishReason":"STOP","index":0}],"usageMetadata":{…},…}

* Exactly `data: `, JSON and a blank line: google-genai takes any other line for an error (comments, `event:`, `[DONE]`).
* Each delta is a part of its own. Calls have no deltas: each is given whole when its block ends.
* There is no terminator but `finishReason`, usage stands beside it; the array's bracket closes after either ending.
* Blocks need no order among themselves, because a part says by itself what it is. Only two texts at once would mix: the
  later one waits (`dialects.sequential`).
* The heartbeat is the emptiest response that SDKs accept: an empty text. The array's is white space.
"""

from typing import assert_never

from proxy.dialects.base import StreamContext
from proxy.dialects.gemini.citations import Citations
from proxy.dialects.gemini.errors import stream_error_body
from proxy.dialects.gemini.parts import (
    CallWriter,
    encode,
    finish_fields,
    finish_word,
    media_part,
    redacted_part,
    result_part,
    server_call_part,
    signature_of,
    text_part,
    unbroken,
    usage_metadata,
)
from proxy.dialects.gemini.request import ARRAY
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

_HEAD = b'{"candidates":[{"content":{"parts":['
_EMPTY = _HEAD + b'{"text":""}],"role":"model"},"index":0}]}'


class _Call:
    """An open tool call."""

    __slots__ = ("arguments", "block", "signature")

    def __init__(self, block: ToolCallBlock) -> None:
        self.block = block
        self.arguments: list[str] = []
        self.signature: SignatureAdded | None = None


class GeminiEncoder:
    """`StreamEncoder` of both formats; `StreamContext.variant` says which."""

    def __init__(self, context: StreamContext) -> None:
        self._is_array = context.variant == ARRAY
        self._before = b"\n,\r\n" if context.is_relayed else b"["
        """What stands before the array's next element."""
        self._context = context
        self._tail = b""
        self._set_tail(context.model)
        self._calls: dict[int, _Call] = {}
        self._call_writer = CallWriter()
        self._shown: set[int] = set()
        """Reasoning blocks that have text."""
        self._waiting: str | None = None
        """A signature of Gemini's whose part comes next."""
        self._open_texts: set[int] = set()
        self._texts: Sequencer | None = None
        """Set once two texts were open at the same time."""
        self._has_content = False
        self._has_refused = False
        self._usage: Usage | None = None
        self._citations = Citations()
        self._has_finish_reason = False
        self._ended = False

    def _set_tail(self, model: str) -> None:
        names = b'"modelVersion":%b,"responseId":%b}' % (unbroken(encode(model)), encode(self._context.id))
        self._names = names
        self._tail = b'],"role":"model"},"index":0}],' + names

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(_, text) if self._texts is None and self._waiting is None:
                    self._add_text(out, text)
                case ReasoningDelta(index, text):
                    self._shown.add(index)
                    self._add_part(out, b'{"text":%b,"thought":true}' % unbroken(encode(text)))
                case ArgumentsDelta(index, json):
                    self._calls[index].arguments.append(json)
                case Usage():
                    self._usage = event
                case _:
                    self._encode_rare(out, event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        if self._ended:
            return b""
        return b"\n" if self._is_array else b"data: %b\r\n\r\n" % _EMPTY

    def note_finish_reason(self) -> None:
        """See `hub.codec.EndsOnce`."""
        self._has_finish_reason = True

    # --- events

    def _encode_rare(self, out: list[bytes], event: Event) -> None:
        match event:
            case BlockStart(index, block):
                self._start(out, index, block, event)
            case TextDelta(_, text) if self._texts is None:
                self._add_part(out, text_part(text, signature=self._take_waiting()))
                self._citations.add_text(text)
            case TextDelta() | RefusalDelta():
                self._encode_text(out, event)
            case SignatureAdded(index):
                self._add_signature(out, index, event)
            case CitationAdded():
                self._add_citation(out, event)
            case BlockEnd(index):
                self._end_block(out, index, event)
            case MessageStart(_, model):
                if model:
                    self._set_tail(model)
            case MessageEnd():
                self._finish(out, event)
            case StreamError():
                self._fail(out, event)
            case ReasoningDelta() | ArgumentsDelta() | Usage():
                raise AssertionError("is encoded by `encode`")
            case _:
                assert_never(event)

    def _start(self, out: list[bytes], index: int, block: Block, event: BlockStart) -> None:
        match block:
            case TextBlock() | RefusalBlock():
                self._has_refused = self._has_refused or isinstance(block, RefusalBlock)
                self._start_text(out, index, event)
            case ToolCallBlock():
                self._calls[index] = _Call(block)
            case ReasoningBlock():
                pass
            case MediaBlock():
                self._add_part(out, media_part(block, self._take_waiting()))
            case RedactedReasoningBlock():
                self._flush_waiting(out)
                self._add_part(out, redacted_part(block))
            case ToolResultBlock():
                self._flush_waiting(out)
                part = result_part(block)
                if part is not None:
                    self._add_part(out, part)
            case _:
                assert_never(block)

    def _end_block(self, out: list[bytes], index: int, event: BlockEnd) -> None:
        call = self._calls.pop(index, None)
        if call is not None:
            self._flush_waiting(out)
            if call.block.kind is ToolKind.SERVER:
                part = server_call_part(call.block)
            else:
                part = self._call_writer.part(call.block, "".join(call.arguments), call.signature)
            if part is not None:
                self._add_part(out, part)
        elif index in self._open_texts:
            self._open_texts.discard(index)
            if self._texts is not None:
                self._encode_text(out, event)

    def _add_signature(self, out: list[bytes], index: int, added: SignatureAdded) -> None:
        self._call_writer.see(added)
        call = self._calls.get(index)
        if call is not None:
            call.signature = added
        elif added.origin is Origin.GEMINI and index not in self._shown:
            # Reasoning without text: the signature of the text or file that follows, or an empty text's own.
            self._flush_waiting(out)
            self._waiting = signature_of(added)
        else:
            self._add_part(out, text_part("", thought=True, signature=signature_of(added)))

    def _add_citation(self, out: list[bytes], citation: CitationAdded) -> None:
        own = self._citations.add(citation)
        if own:
            # With an empty text: google-genai's chats forget a turn that has a response without content.
            fields = unbroken(encode(own))[1:-1]
            self._add(out, _HEAD + b'{"text":""}],"role":"model"},%b,"index":0}],%b' % (fields, self._names))

    def _finish(self, out: list[bytes], end: MessageEnd) -> None:
        usage = b"" if self._usage is None else b'"usageMetadata":%b,' % usage_metadata(self._usage)
        if not self._has_finish_reason:
            self._add(out, b'{"candidates":[{%b}],%b%b' % (self._finish_candidate(end), usage, self._names))
        elif usage:
            # With an empty text, as for citations.
            self._add(out, b"%b,%b%b" % (_EMPTY[:-1], usage, self._names))
        self._end(out)

    def _finish_candidate(self, end: MessageEnd) -> bytes:
        """The fields of the last candidate."""
        failed_calls = self._call_writer.failed
        word = finish_word(end, has_refused=self._has_refused, has_failed_calls=bool(failed_calls))
        candidate = finish_fields(word, failed_calls) + b',"index":0'
        if self._has_content or self._waiting is not None or word == "STOP":
            part = text_part("", signature=self._take_waiting())
            candidate = b'"content":{"parts":[%b],"role":"model"},%b' % (part, candidate)
        grounding = self._citations.grounding()
        if grounding is not None:
            candidate += b',"groundingMetadata":%b' % grounding
        return candidate

    def _fail(self, out: list[bytes], error: StreamError) -> None:
        self._add(out, unbroken(stream_error_body(error)))
        self._end(out)

    def _end(self, out: list[bytes]) -> None:
        self._ended = True
        if self._is_array:
            out.append(b"\n]")

    # --- texts

    def _start_text(self, out: list[bytes], index: int, event: BlockStart) -> None:
        if self._texts is None and self._open_texts:
            self._texts = Sequencer()
            self._texts.feed([BlockStart(open_index, TextBlock()) for open_index in self._open_texts])
        self._open_texts.add(index)
        self._encode_text(out, event)

    def _encode_text(self, out: list[bytes], event: BlockStart | TextDelta | RefusalDelta | BlockEnd) -> None:
        """A text's event; of two at once the later waits."""
        for ready in [event] if self._texts is None else self._texts.feed([event]):
            match ready:
                case TextDelta(_, text) | RefusalDelta(_, text):
                    self._add_part(out, text_part(text, signature=self._take_waiting()))
                    self._citations.add_text(text)
                case BlockStart(index):
                    self._citations.begin(index)
                case StreamError():
                    self._fail(out, ready)
                case _:
                    pass

    # --- parts and responses

    def _add_text(self, out: list[bytes], text: str) -> None:
        """The hot case: `_add_part(out, text_part(text))` as one template."""
        json = encode(text)
        if not json.isascii():
            json = unbroken(json)
        self._has_content = True
        self._citations.add_text(text)
        if self._is_array:
            self._add(out, _HEAD + b'{"text":%b}' % json + self._tail)
        else:
            out.append(b'data: {"candidates":[{"content":{"parts":[{"text":%b}%b\r\n\r\n' % (json, self._tail))

    def _add_part(self, out: list[bytes], part: bytes) -> None:
        self._has_content = True
        self._add(out, _HEAD + part + self._tail)

    def _take_waiting(self) -> str | None:
        waiting, self._waiting = self._waiting, None
        return waiting

    def _flush_waiting(self, out: list[bytes]) -> None:
        if self._waiting is not None:
            self._add_part(out, text_part("", signature=self._take_waiting()))

    def _add(self, out: list[bytes], response: bytes) -> None:
        if self._ended:
            return
        if self._is_array:
            out.append(self._before + response)
            self._before = b"\n,\r\n"
        else:
            out.append(b"data: %b\r\n\r\n" % response)
