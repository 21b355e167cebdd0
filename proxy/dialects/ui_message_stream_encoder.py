"""Writes the AI SDK's UI message stream.

    data: {"type":"start","messageId":"msg_…","messageMetadata":{"model":"…"}}
    data: {"type":"start-step"}
    data: {"type":"reasoning-start","id":"0"}   …-delta   …-end, with the signature in `providerMetadata`
    data: {"type":"text-start","id":"1"}        …-delta   …-end
    data: {"type":"tool-input-start","toolCallId":"call_1","toolName":"get_weather"}
    data: {"type":"tool-input-delta","toolCallId":"call_1","inputTextDelta":"{\\"ci"}
    data: {"type":"tool-input-available","toolCallId":"call_1","toolName":"get_weather","input":{"city":"Oslo"}}
    data: {"type":"finish-step"}
    data: {"type":"finish","finishReason":"tool-calls","messageMetadata":{"usage":{"inputTokens":12,…}}}
    data: [DONE]

* The client checks each chunk: an unknown type, an unknown reason or a null ends the stream. So absent fields are left
  out, and only chunk types and reasons stand here that versions 5.0.277, 6.0.326 and 7.0.173 all know.
* Chunks name their part, so blocks may interleave.
* An answer that goes on with an assistant's message bears its id: under another one the client would show it twice.
* After an error the client keeps what it has; texts are ended before, so that no cursor blinks on. `finish` is what says
  that the answer is whole; `[DONE]` only that the stream is over.
"""

from typing import Final, assert_never

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.open_calls import OpenCall, OpenCalls
from proxy.dialects.ui_metadata import OWN, redacted_metadata, signature_metadata
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

FINISH_REASON: Final[dict[FinishReason, str]] = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.TOOL_CALLS: "tool-calls",
    FinishReason.CONTENT_FILTER: "content-filter",
    FinishReason.REFUSAL: "content-filter",
    FinishReason.PAUSE: "stop",
    FinishReason.MALFORMED_CALL: "error",
    FinishReason.OTHER: "other",
}
"""Total. Only words that every version knows: `unknown` is gone since 6, `interrupted` came with 7."""

NOT_JSON: Final = "The model's arguments for this call are not valid JSON."

Json = dict[str, object]

_encode = msgspec.json.Encoder().encode


class UiMessageStreamEncoder:
    """`StreamEncoder`; the chunks are in the module's docstring."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._deltas: dict[int, bytes] = {}
        """What stands before a delta's text, for each open block."""
        self._open_texts: dict[int, str] = {}
        """`text` or `reasoning`, for each open block of text."""
        self._reasoning_ids: dict[int, str | None] = {}
        self._signatures: dict[int, SignatureAdded] = {}
        self._calls = OpenCalls()
        self._call_ids: set[str] = set()
        self._sources = 0
        self._has_refused = False
        self._usage: Usage | None = None

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(index, text) | ReasoningDelta(index, text) | RefusalDelta(index, text):
                    out.append(b"%b%b}\n\n" % (self._deltas[index], _encode(text)))
                case ArgumentsDelta(index, json):
                    self._calls.add(index, json)
                    out.append(b"%b%b}\n\n" % (self._deltas[index], _encode(json)))
                case _:
                    self._encode_rare(out, event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return b": keep-alive\n\n"

    def _encode_rare(self, out: list[bytes], event: RareEvent) -> None:
        match event:
            case BlockStart(index, block):
                self._start_block(out, index, block)
            case BlockEnd(index):
                self._end_block(out, index)
            case SignatureAdded(index) if index in self._calls:
                self._calls.sign(index, event)
            case SignatureAdded(index):
                self._signatures[index] = event
            case CitationAdded():
                self._add_source(out, event)
            case Usage():
                self._usage = event
            case MessageStart(_, model):
                metadata = {"model": model or self._context.model}
                _add(out, {"type": "start", "messageId": message_id(self._context), "messageMetadata": metadata})
                _add(out, {"type": "start-step"})
            case MessageEnd(reason):
                self._finish(out, reason)
            case StreamError(_, message):
                self._fail(out, message)
            case _:
                assert_never(event)

    def _start_block(self, out: list[bytes], index: int, block: Block) -> None:
        match block:
            case TextBlock() | RefusalBlock():
                self._has_refused = self._has_refused or isinstance(block, RefusalBlock)
                self._start_text(out, index, "text")
            case ReasoningBlock(id):
                self._reasoning_ids[index] = id
                self._start_text(out, index, "reasoning")
            case RedactedReasoningBlock():
                metadata = redacted_metadata(block)
                _add(out, {"type": "reasoning-start", "id": str(index), "providerMetadata": metadata})
                _add(out, {"type": "reasoning-end", "id": str(index), "providerMetadata": metadata})
            case ToolCallBlock(id, name):
                self._calls.start(index, block)
                self._call_ids.add(id)
                self._deltas[index] = b'data: {"type":"tool-input-delta","toolCallId":%b,"inputTextDelta":' % _encode(
                    id
                )
                _add(out, {"type": "tool-input-start", "toolCallId": id, "toolName": name, **_executed(block)})
            case ToolResultBlock():
                _add(out, result_chunk(block, is_known=block.call_id in self._call_ids))
            case MediaBlock():
                _add(out, file_part(block))
            case _:
                assert_never(block)

    def _start_text(self, out: list[bytes], index: int, kind: str) -> None:
        self._open_texts[index] = kind
        self._deltas[index] = b'data: {"type":"%b-delta","id":"%d","delta":' % (kind.encode(), index)
        _add(out, {"type": f"{kind}-start", "id": str(index)})

    def _end_block(self, out: list[bytes], index: int) -> None:
        self._deltas.pop(index, None)
        if index in self._calls:
            _add(out, call_chunk(self._calls.end(index)))
            return
        kind = self._open_texts.pop(index, None)
        if kind is None:
            return
        signature = self._signatures.pop(index, None)
        end: Json = {"type": f"{kind}-end", "id": str(index)}
        if signature is not None:
            end["providerMetadata"] = signature_metadata(signature, self._reasoning_ids.get(index))
        _add(out, end)

    def _add_source(self, out: list[bytes], citation: CitationAdded) -> None:
        self._sources += 1
        source = source_part(citation, f"source-{self._sources}")
        if source is not None:
            _add(out, source)

    def _finish(self, out: list[bytes], reason: FinishReason) -> None:
        _add(out, {"type": "finish-step"})
        finish: Json = {"type": "finish", "finishReason": finish_word(reason, has_refused=self._has_refused)}
        if self._usage is not None:
            finish["messageMetadata"] = {"usage": usage_object(self._usage)}
        _add(out, finish)
        out.append(b"data: [DONE]\n\n")

    def _fail(self, out: list[bytes], message: str) -> None:
        for index in list(self._open_texts):
            self._end_block(out, index)
        if self._usage is not None:
            _add(out, {"type": "message-metadata", "messageMetadata": {"usage": usage_object(self._usage)}})
        _add(out, {"type": "error", "errorText": message})
        out.append(b"data: [DONE]\n\n")


def _add(out: list[bytes], chunk: Json) -> None:
    out.append(b"data: %b\n\n" % _encode(chunk))


# --- chunks that are parts, or nearly; whole answers use the same


def message_id(context: StreamContext) -> str:
    """The id of the message that is being written: `Envelope.variant` holds that of one which goes on."""
    return context.variant or f"msg_{context.id}"


def finish_word(reason: FinishReason, *, has_refused: bool) -> str:
    """The word for `reason`; a refusal in its own words is the content filter's."""
    return FINISH_REASON[FinishReason.REFUSAL if has_refused and reason is FinishReason.STOP else reason]


def usage_object(usage: Usage) -> Json:
    """The counts that were reported, in the words of the AI SDK's LanguageModelUsage."""
    total = None if usage.input is None or usage.output is None else usage.input + usage.output
    return _given(
        inputTokens=usage.input,
        outputTokens=usage.output,
        totalTokens=total,
        cachedInputTokens=usage.cached_input,
        cacheWriteTokens=usage.cache_write,
        reasoningTokens=usage.reasoning,
    )


def call_chunk(call: OpenCall) -> Json:
    """The end of a call: its whole input, or why there is none."""
    json, block = call.json(), call.block
    fields: Json = {"toolCallId": block.id, "toolName": block.name, **_executed(block)}
    if call.signature is not None:
        fields["providerMetadata"] = signature_metadata(call.signature)
    if json is None:
        text = call.text() or ""
        return {"type": "tool-input-error", **fields, "input": text, "errorText": NOT_JSON}
    return {"type": "tool-input-available", **fields, "input": msgspec.Raw(json)}


def result_chunk(block: ToolResultBlock, *, is_known: bool) -> Json:
    """A result of the provider's own tool. One whose call was never shown may not stand as such: it is a data part."""
    output = result_output(block)
    if not is_known:
        return {"type": "data-tool-result", "data": {"toolCallId": block.call_id, "type": block.type, "output": output}}
    if block.is_error:
        fields: Json = {"toolCallId": block.call_id, "errorText": block.content, "providerExecuted": True}
        return {"type": "tool-output-error", **fields}
    return {"type": "tool-output-available", "toolCallId": block.call_id, "output": output, "providerExecuted": True}


def result_output(block: ToolResultBlock) -> object:
    """The origin's own JSON on one line, or its text where that is no JSON."""
    try:
        return msgspec.Raw(msgspec.json.format(block.content.encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return block.content


def file_part(block: MediaBlock) -> Json:
    """A `file`, as a chunk and as a part."""
    url = block.url if block.data is None else f"data:{block.media_type};base64,{block.data}"
    return {"type": "file", "url": url or "", "mediaType": block.media_type}


def source_part(citation: CitationAdded, id: str) -> Json | None:
    """A `source-url` or `source-document`, as a chunk and as a part; `None`: nothing says which source it is."""
    details = _given(citedText=citation.cited_text, start=citation.start, end=citation.end)
    metadata: Json = {"providerMetadata": {OWN: details}} if details else {}
    if citation.url is not None:
        return {"type": "source-url", "sourceId": id, **_given(url=citation.url, title=citation.title), **metadata}
    if citation.title is None and citation.cited_text is None:
        return None
    # What kind of document it is, no citation says; the client wants a type.
    document = {"mediaType": "text/plain", "title": citation.title or ""}
    return {"type": "source-document", "sourceId": id, **document, **metadata}


def _executed(block: ToolCallBlock) -> Json:
    return {"providerExecuted": True} if block.kind is ToolKind.SERVER else {}


def _given(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
