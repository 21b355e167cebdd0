"""Writes the events of an AG-UI 1.0 run.

    data: {"type":"RUN_STARTED","threadId":"…","runId":"…"}
    data: {"type":"REASONING_START","messageId":"…"}        and REASONING_MESSAGE_START, _CONTENT, _END, REASONING_END
    data: {"type":"TEXT_MESSAGE_START","messageId":"…","role":"assistant"}        _CONTENT, _END
    data: {"type":"TOOL_CALL_START","toolCallId":"…","toolCallName":"…","parentMessageId":"…"}        _ARGS, _END
    data: {"type":"TOOL_CALL_RESULT","messageId":"…","toolCallId":"…","content":"…","role":"tool"}
    data: {"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"…","encryptedValue":"…"}
    data: {"type":"CUSTOM","name":"citation","value":{"url":"…"}}        and "file"
    data: {"type":"RUN_FINISHED","threadId":"…","runId":"…","result":{"finishReason":"stop"},"usage":[{…}]}
    data: {"type":"RUN_ERROR","message":"…","code":"cut"}

* Each event names its message or call, so blocks may interleave. Every block of text or reasoning is a message of its own.
* The protocol cannot say that a call is the provider's own affair, and a client would run it: such a call is shown together
  with its result, or not at all. What waits for results is at most `MAX_HELD_BYTES`; a call beyond them is not shown.
* Opaque reasoning of any family travels packed (`hub.carried`) in `encryptedValue`; a reasoning message has the id that
  the provider gave the block, which must come back with it (OpenAI Responses).
* Nothing may follow `RUN_ERROR`, and it may stand anywhere: what is open stays open. A null is refused: absent fields
  are left out. Source: @ag-ui/core and @ag-ui/client 1.0.0.
"""

from typing import Final, assert_never

import msgspec

from proxy.dialects.ag_ui_request import Run
from proxy.dialects.base import StreamContext
from proxy.hub.carried import Carried, pack
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

Json = dict[str, object]

MAX_HELD_BYTES: Final = 16 * 1024 * 1024
"""Of all calls of the provider's own tools that wait for their results, as large as the largest frame that is accepted."""

EVENT_BYTES: Final = 100
"""What one held event costs beside its text, roughly."""

_encode = msgspec.json.Encoder().encode

_RUN: Final = msgspec.json.Decoder(Run)


class _Call:
    """A tool call. What a call of the provider's own tool has to say is held until its result comes."""

    __slots__ = ("block", "has_arguments", "held", "held_bytes", "is_forgotten")

    def __init__(self, block: ToolCallBlock) -> None:
        self.block = block
        self.has_arguments = False
        self.held: list[bytes] | None = [] if block.kind is ToolKind.SERVER else None
        self.held_bytes = 0
        self.is_forgotten = False
        """There was more to hold than may wait: the call is not shown."""


class AgUiEncoder:
    """`StreamEncoder`; the events are in the module's docstring."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._run = run_of(context)
        self._model = context.model
        self._deltas: dict[int, bytes] = {}
        """What stands before a delta's text, for each open block."""
        self._texts: dict[int, str] = {}
        self._reasoning: dict[int, str] = {}
        """Message ids of the open blocks of text, and of reasoning."""
        self._calls: dict[int, _Call] = {}
        self._server_calls: dict[str, _Call] = {}
        self._held_bytes = 0
        """Whole calls of the provider's own tools that have no result yet."""
        self._ids = MessageIds(context)
        self._has_refused = False
        self._usage: Usage | None = None

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(index, text) | ReasoningDelta(index, text) | RefusalDelta(index, text):
                    out.append(b"%b%b}\n\n" % (self._deltas[index], _encode(text)))
                case ArgumentsDelta(index, json):
                    call = self._calls[index]
                    call.has_arguments = True
                    delta = b"%b%b}\n\n" % (self._deltas[index], _encode(json))
                    if call.held is None:
                        out.append(delta)
                    else:
                        self._hold(call, delta)
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
            case SignatureAdded(index):
                self._add_signature(out, index, event)
            case CitationAdded():
                _add(out, "CUSTOM", name="citation", value=citation_value(event))
            case Usage():
                self._usage = event
            case MessageStart(_, model):
                self._model = model or self._model
                _add(out, "RUN_STARTED", threadId=self._run.threadId, runId=self._run.runId)
            case MessageEnd(reason):
                result = {"finishReason": finish_word(reason, has_refused=self._has_refused)}
                fields = {"threadId": self._run.threadId, "runId": self._run.runId, "result": result}
                _add(out, "RUN_FINISHED", **fields, **usage_fields(self._usage, self._model))
            case StreamError(kind, message):
                _add(out, "RUN_ERROR", message=message, code=kind.value, **usage_fields(self._usage, self._model))
            case _:
                assert_never(event)

    def _start_block(self, out: list[bytes], index: int, block: Block) -> None:
        match block:
            case TextBlock() | RefusalBlock():
                self._has_refused = self._has_refused or isinstance(block, RefusalBlock)
                id = self._texts[index] = self._ids.next_text()
                self._set_delta(index, "TEXT_MESSAGE_CONTENT", "messageId", id)
                _add(out, "TEXT_MESSAGE_START", messageId=id, role="assistant")
            case ReasoningBlock():
                id = self._reasoning[index] = self._ids.next_reasoning(block.id)
                self._set_delta(index, "REASONING_MESSAGE_CONTENT", "messageId", id)
                _start_reasoning(out, id)
            case RedactedReasoningBlock(data, origin):
                id = self._ids.next_reasoning(block.id)
                _start_reasoning(out, id)
                out.append(_proof("message", id, Carried(origin, data, is_redacted=True)))
                _end_reasoning(out, id)
            case ToolCallBlock(id, name):
                call = self._calls[index] = _Call(block)
                self._set_delta(index, "TOOL_CALL_ARGS", "toolCallId", id)
                fields = {"toolCallId": id, "toolCallName": name, "parentMessageId": self._ids.parent}
                self._say(out, call, _event("TOOL_CALL_START", **fields))
            case ToolResultBlock(call_id, content):
                answered = self._server_calls.pop(call_id, None)
                if answered is not None and not answered.is_forgotten:
                    self._held_bytes -= answered.held_bytes
                    out += answered.held or []
                    id = self._ids.next_result()
                    _add(out, "TOOL_CALL_RESULT", messageId=id, toolCallId=call_id, content=content, role="tool")
            case MediaBlock():
                _add(out, "CUSTOM", name="file", value=file_value(block))
            case _:
                assert_never(block)

    def _set_delta(self, index: int, kind: str, field: str, id: str) -> None:
        self._deltas[index] = b'data: {"type":"%b","%b":%b,"delta":' % (kind.encode(), field.encode(), _encode(id))

    def _end_block(self, out: list[bytes], index: int) -> None:
        delta = self._deltas.pop(index, None)
        if index in self._texts:
            _add(out, "TEXT_MESSAGE_END", messageId=self._texts.pop(index))
        elif index in self._reasoning:
            _end_reasoning(out, self._reasoning.pop(index))
        elif index in self._calls:
            call = self._calls.pop(index)
            if delta is not None and not call.has_arguments and call.block.kind is not ToolKind.CUSTOM:
                self._say(out, call, b'%b"{}"}\n\n' % delta)
            self._say(out, call, _event("TOOL_CALL_END", toolCallId=call.block.id))
            if call.held is not None and not call.is_forgotten:
                self._server_calls[call.block.id] = call

    def _add_signature(self, out: list[bytes], index: int, added: SignatureAdded) -> None:
        if index in self._calls:
            call = self._calls[index]
            id = call.block.id
            self._say(out, call, _proof("tool-call", id, Carried(added.origin, added.signature, id)))
        else:
            out.append(_proof("message", self._reasoning[index], Carried(added.origin, added.signature)))

    def _say(self, out: list[bytes], call: _Call, event: bytes) -> None:
        if call.held is None:
            out.append(event)
        else:
            self._hold(call, event)

    def _hold(self, call: _Call, event: bytes) -> None:
        if call.held is None or call.is_forgotten:
            return
        size = len(event) + EVENT_BYTES
        if self._held_bytes + size > MAX_HELD_BYTES:
            self._held_bytes -= call.held_bytes
            call.held, call.is_forgotten = [], True
            return
        call.held.append(event)
        call.held_bytes += size
        self._held_bytes += size


class MessageIds:
    """Ids of the messages of one run, in order: the same in a stream and in a whole answer."""

    def __init__(self, context: StreamContext) -> None:
        self._first = f"msg_{context.id}"
        self._count = 0
        self._used: set[str] = set()
        self.parent = self._first
        """The message that a call belongs to: the last text, or the first message, which then has none."""

    def next_text(self) -> str:
        self.parent = self._next()
        return self.parent

    def next_reasoning(self, given: str | None) -> str:
        """The provider's own id, unless an earlier message of this answer has it."""
        if given is None or given in self._used:
            given = f"reasoning_{self._next()}"
        self._used.add(given)
        return given

    def next_result(self) -> str:
        return f"result_{self._next()}"

    def _next(self) -> str:
        self._count += 1
        return self._first if self._count == 1 else f"{self._first}_{self._count}"


def _event(kind: str, **fields: object) -> bytes:
    return b"data: %b\n\n" % _encode({"type": kind, **fields})


def _add(out: list[bytes], kind: str, **fields: object) -> None:
    out.append(_event(kind, **fields))


def _start_reasoning(out: list[bytes], id: str) -> None:
    _add(out, "REASONING_START", messageId=id)
    _add(out, "REASONING_MESSAGE_START", messageId=id, role="reasoning")


def _end_reasoning(out: list[bytes], id: str) -> None:
    _add(out, "REASONING_MESSAGE_END", messageId=id)
    _add(out, "REASONING_END", messageId=id)


def _proof(subtype: str, id: str, carried: Carried) -> bytes:
    return _event("REASONING_ENCRYPTED_VALUE", subtype=subtype, entityId=id, encryptedValue=pack(carried))


# --- the fields of events; whole answers use the same


def run_of(context: StreamContext) -> Run:
    """The caller's thread and run, or ids of our own where it named none."""
    run = _RUN.decode(context.variant) if context.variant else Run("", "")
    return Run(run.threadId or f"thread_{context.id}", run.runId or f"run_{context.id}")


def finish_word(reason: FinishReason, *, has_refused: bool) -> str:
    """The protocol leaves a run's result to the agent: the hub's own words."""
    return (FinishReason.REFUSAL if has_refused and reason is FinishReason.STOP else reason).value


def usage_fields(usage: Usage | None, model: str) -> Json:
    """`usage` with the counts that were reported; empty when none was."""
    if usage is None:
        return {}
    total = None if usage.input is None or usage.output is None else usage.input + usage.output
    counts = _given(
        inputTokens=usage.input,
        outputTokens=usage.output,
        totalTokens=total,
        reasoningTokens=usage.reasoning,
        cachedInputTokens=usage.cached_input,
        cacheWriteInputTokens=usage.cache_write,
    )
    return {"usage": [{"model": model, **counts}]} if counts else {}


def citation_value(event: CitationAdded) -> Json:
    return _given(url=event.url, title=event.title, citedText=event.cited_text, start=event.start, end=event.end)


def file_value(block: MediaBlock) -> Json:
    return _given(mimeType=block.media_type, data=block.data, url=block.url)


def _given(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
