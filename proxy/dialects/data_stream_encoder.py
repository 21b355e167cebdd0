"""Writes the data stream of the AI SDK, version 4 and earlier. A line is a code, a colon and JSON:

    f:{"messageId":"msg_…"}                                                   a step begins
    g:"Let me see."   j:{"signature":"…"}   i:{"data":"…"}                    reasoning, its proof; reasoning that came closed
    0:"Hel"                                                                   text
    b:{"toolCallId":…,"toolName":…}   c:{"toolCallId":…,"argsTextDelta":…}    a call, as it arrives
    9:{"toolCallId":…,"toolName":…,"args":{…}}   a:{"toolCallId":…,"result":…}    whole; the result of the provider's own tool
    h:{"sourceType":"url","id":…,"url":…}   k:{"data":…,"mimeType":…}         a source, a file
    e:{"finishReason":"stop","usage":{…},"isContinued":false}   d:{"finishReason":"stop","usage":{…}}    the end
    3:"What went wrong"                                                       the end of a broken answer: the client throws

* Source: @ai-sdk/ui-utils 1.2.11. Any other code, a comment, a null where a value belongs: the client throws. So the
  heartbeat is a list of no data (`2:[]`).
* The client keeps one text of reasoning a step. Reasoning that follows other reasoning begins a step of its own, because
  the proof of each is for its own words.
* The format cannot say that a call is the provider's own affair, and a client would run it: such a call is shown together
  with its result, or not at all.
* Proofs of other families than Anthropic travel packed (`hub.carried`): the format has no word for whose they are. A
  call's proof (Gemini) has no field at all and travels as reasoning that came closed, with the call's id in the pack.
"""

from typing import Final, assert_never

import msgspec

from proxy.dialects.base import StreamContext
from proxy.dialects.open_calls import OpenCall, OpenCalls
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
    FinishReason.OTHER: "unknown",
}
"""Total."""

Json = dict[str, object]

_encode = msgspec.json.Encoder().encode


class DataStreamEncoder:
    """`StreamEncoder`; the lines are in the module's docstring."""

    def __init__(self, context: StreamContext) -> None:
        self._start = b"f:%b\n" % _encode({"messageId": f"msg_{context.id}"})
        self._calls = OpenCalls()
        self._call_prefixes: dict[int, bytes] = {}
        self._reasoning: dict[int, bool] = {}
        """Whether each open block of reasoning has text."""
        self._has_reasoning = False
        """Whether this step has reasoning that is over."""
        self._sources = 0
        self._has_refused = False
        self._usage: Usage | None = None

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(_, text) | RefusalDelta(_, text):
                    out.append(b"0:%b\n" % _encode(text))
                case ReasoningDelta(index, text):
                    self._reasoning[index] = True
                    out.append(b"g:%b\n" % _encode(text))
                case ArgumentsDelta(index, json):
                    self._calls.add(index, json)
                    if index in self._call_prefixes:
                        out.append(b"%b%b}\n" % (self._call_prefixes[index], _encode(json)))
                case _:
                    self._encode_rare(out, event)
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return b"2:[]\n"

    def _encode_rare(self, out: list[bytes], event: RareEvent) -> None:
        match event:
            case BlockStart(index, block):
                self._start_block(out, index, block)
            case BlockEnd(index):
                self._end_block(out, index)
            case SignatureAdded(index) if index in self._reasoning:
                if not self._reasoning[index]:
                    # The client keeps a proof beside a text only.
                    out.append(b'g:""\n')
                    self._reasoning[index] = True
                _add(out, "j", {"signature": proof_word(event.origin, event.signature)})
            case CitationAdded():
                self._add_source(out, event)
            case Usage():
                self._usage = event
            case MessageStart():
                out.append(self._start)
            case MessageEnd(reason):
                finish = finish_object(reason, self._usage, has_refused=self._has_refused)
                _add(out, "e", {**finish, "isContinued": False})
                _add(out, "d", finish)
            case StreamError(_, message):
                out.append(b"3:%b\n" % _encode(message))
            case SignatureAdded(index) if index in self._calls:
                self._calls.sign(index, event)
            case SignatureAdded():
                pass
            case _:
                assert_never(event)

    def _start_block(self, out: list[bytes], index: int, block: Block) -> None:
        match block:
            case TextBlock():
                pass
            case RefusalBlock():
                self._has_refused = True
            case ReasoningBlock():
                if self._has_reasoning:
                    _add(out, "e", {"finishReason": "unknown", "isContinued": False})
                    out.append(self._start)
                    self._has_reasoning = False
                self._reasoning[index] = False
            case RedactedReasoningBlock(data, origin):
                _add(out, "i", {"data": proof_word(origin, data, is_redacted=True)})
            case ToolCallBlock(kind=ToolKind.SERVER):
                self._calls.start(index, block)
            case ToolCallBlock(id, name):
                self._calls.start(index, block)
                self._call_prefixes[index] = b'c:{"toolCallId":%b,"argsTextDelta":' % _encode(id)
                _add(out, "b", {"toolCallId": id, "toolName": name})
            case ToolResultBlock(call_id):
                call = self._calls.release(call_id)
                if call is not None:
                    _add(out, "b", {"toolCallId": call_id, "toolName": call.block.name})
                    self._end_call(out, call)
                    _add(out, "a", {"toolCallId": call_id, "result": result_value(block)})
            case MediaBlock(media_type, data) if data is not None:
                _add(out, "k", {"data": data, "mimeType": media_type})
            case MediaBlock(url=url):
                self._sources += 1
                _add(out, "h", {"sourceType": "url", "id": f"source-{self._sources}", "url": url or ""})
            case _:
                assert_never(block)

    def _end_block(self, out: list[bytes], index: int) -> None:
        if index in self._calls:
            if self._call_prefixes.pop(index, None) is None:
                self._calls.hold(index)
            else:
                self._end_call(out, self._calls.end(index))
        elif self._reasoning.pop(index, None) is not None:
            self._has_reasoning = True

    def _end_call(self, out: list[bytes], call: OpenCall) -> None:
        json = call.object_json()
        if json is not None:
            # What is no JSON stays a partial call, which the client does not run.
            fields: Json = {"toolCallId": call.block.id, "toolName": call.block.name, "args": msgspec.Raw(json)}
            _add(out, "9", fields)
            if call.signature is not None and call.block.kind is not ToolKind.SERVER:
                _add(out, "i", {"data": call_proof_word(call.signature, call.block.id)})

    def _add_source(self, out: list[bytes], citation: CitationAdded) -> None:
        if citation.url is None:
            return
        self._sources += 1
        source: Json = {"sourceType": "url", "id": f"source-{self._sources}", "url": citation.url}
        if citation.title is not None:
            source["title"] = citation.title
        _add(out, "h", source)


def _add(out: list[bytes], code: str, value: Json) -> None:
    out.append(b"%b:%b\n" % (code.encode(), _encode(value)))


def proof_word(origin: Origin, word: str, *, is_redacted: bool = False) -> str:
    return word if origin is Origin.ANTHROPIC else pack(Carried(origin, word, is_redacted=is_redacted))


def call_proof_word(signature: SignatureAdded, call_id: str) -> str:
    return pack(Carried(signature.origin, signature.signature, call_id))


def finish_object(reason: FinishReason, usage: Usage | None, *, has_refused: bool) -> Json:
    """Why it ended, and the counts that were reported; a refusal in its own words is the content filter's."""
    reason = FinishReason.REFUSAL if has_refused and reason is FinishReason.STOP else reason
    finish: Json = {"finishReason": FINISH_REASON[reason]}
    if usage is not None and (usage.input is not None or usage.output is not None):
        # The client takes null for a count that nobody knows.
        finish["usage"] = {"promptTokens": usage.input, "completionTokens": usage.output}
    return finish


def result_value(block: ToolResultBlock) -> object:
    """The origin's own JSON on one line, or its text where that is no JSON."""
    try:
        return msgspec.Raw(msgspec.json.format(block.content.encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return block.content
