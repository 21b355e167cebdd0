"""Reads an answer of Cohere's v2 chat.

    message-start
    content-start  content-delta…  content-end            thinking or text, numbered by `index`
    tool-plan-delta…                                       what the model means to do, before its calls: reasoning
    tool-call-start  tool-call-delta…  tool-call-end       calls, numbered by an `index` of their own
    citation-start  citation-end                           a citation, whole, while its text is open or afterwards
    message-end                                            finish reason and usage, or what went wrong

The type stands in the data; the SSE name repeats it. Some streams end with `[DONE]`, which is nothing.
"""

from enum import Enum, auto

import msgspec

from proxy.framing.sse import SseFramer
from proxy.hub import events as hub
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    CitationAdded,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
)
from proxy.hub.identifiers import read_back
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.blocks import REASONING, BlockTracker
from proxy.providers.cohere import wire
from proxy.providers.cohere.errors import KIND_BY_REASON, error_in, failed_end, stream_error
from proxy.providers.custom_tools import Unwrapper


class _Kind(Enum):
    TEXT = auto()
    THINKING = auto()


class _Call:
    """A call between its start and its end."""

    __slots__ = ("has_arguments", "index", "unwrapper")

    def __init__(self, index: int, unwrapper: Unwrapper | None) -> None:
        self.index = index
        self.unwrapper = unwrapper
        self.has_arguments = False


class CohereDecoder:
    """Decodes one stream. See `hub.codec.StreamDecoder`."""

    def __init__(self, target: Target) -> None:
        self._framer = SseFramer(target.max_frame_bytes)
        self._answer = _Answer(target)
        self._fault: UpstreamProtocolError | None = None
        """A fault that came behind good events in one read: they go first, it is raised at the next call."""

    def feed(self, data: bytes) -> list[hub.Event]:
        if self._fault is not None:
            raise self._fault
        out: list[hub.Event] = []
        answer = self._answer
        if answer.is_ended:
            return out
        try:
            for name, json in self._framer.feed(data):
                answer.read(json, name, out)
        except UpstreamProtocolError as fault:
            if not out:
                raise
            self._fault = None if answer.is_ended else fault
        return out

    def finish(self) -> list[hub.Event]:
        if self._fault is not None:
            raise self._fault
        out: list[hub.Event] = []
        frame = self._framer.finish()
        if frame is not None:
            try:
                self._answer.read(frame[1], frame[0], out)
            except UpstreamProtocolError:
                out.clear()
        if not self._answer.is_ended:
            out.append(error_in(self._framer.bare_json) or StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return out


class _Answer:
    """The state of one answer."""

    def __init__(self, target: Target) -> None:
        self.is_ended = False
        self._is_started = False
        self._custom_tools = target.custom_tools
        self._blocks = BlockTracker()
        self._content: dict[int, tuple[_Kind, int]] = {}
        """Open text and thinking: what it is and its block, by the wire's index."""
        self._calls: dict[int, _Call] = {}
        """Open calls, by the wire's index."""
        self._call_ids: set[str] = set()
        self._id = ""

    def read(self, json: bytes, name: bytes, out: list[hub.Event]) -> None:
        """The events of one event's data. Raises UpstreamProtocolError. Nothing is read after the ending."""
        if self.is_ended or json[:6] == b"[DONE]":
            return
        event = wire.read(wire.EVENT, json)
        kind = event.type or name.decode("utf-8", "replace")
        delta = event.delta or wire.Delta()
        message = delta.message or wire.Message()
        match kind:
            case "content-delta":
                self._add_content(event.index, wire.content_of(message), out)
            case "tool-call-delta":
                self._add_arguments(event.index, wire.call_of(message), out)
            case "tool-plan-delta":
                self._add_plan(message.tool_plan, out)
            case "message-start":
                self._start(event.id, out)
            case "content-start":
                self._end_content(event.index, out)
                self._add_content(event.index, wire.content_of(message), out, is_start=True)
            case "content-end":
                self._end_content(event.index, out)
            case "tool-call-start":
                self._start_call(event.index, wire.call_of(message), out)
            case "tool-call-end":
                self._end_call(event.index, out)
            case "citation-start":
                self._cite(message.citations, out)
            case "message-end":
                self._start(event.id, out)
                self.end(delta.finish_reason, delta.usage, delta.error, out)
            case "":
                if wire.is_given(event.message):
                    self.is_ended = True
                    out.append(stream_error(json))
            case _:
                pass

    def _start(self, id: str | None, out: list[hub.Event]) -> None:
        if not self._is_started:
            self._is_started = True
            self._id = id or ""
            out.append(MessageStart(self._id, ""))

    # --- text, thinking, plan

    def _add_content(
        self, wire_index: int, content: wire.Content, out: list[hub.Event], *, is_start: bool = False
    ) -> None:
        opened = self._content.get(wire_index)
        if opened is None:
            if not (is_start or content.text or content.thinking):
                return
            self._start(None, out)
            is_thinking = content.type == "thinking" or (not content.type and content.thinking is not None)
            if is_thinking:
                opened = (_Kind.THINKING, self._blocks.hold(ReasoningBlock(), out))
            elif content.type in ("text", None):
                opened = (_Kind.TEXT, self._blocks.hold(TextBlock(), out))
            else:
                return
            self._content[wire_index] = opened
        kind, index = opened
        if kind is _Kind.TEXT and content.text:
            out.append(TextDelta(index, content.text))
        elif kind is _Kind.THINKING and content.thinking:
            out.append(ReasoningDelta(index, content.thinking))

    def _end_content(self, wire_index: int, out: list[hub.Event]) -> None:
        opened = self._content.pop(wire_index, None)
        if opened is not None:
            self._blocks.end(opened[1], out)

    def _add_plan(self, text: str | None, out: list[hub.Event]) -> None:
        if text:
            self._start(None, out)
            out.append(ReasoningDelta(self._blocks.ensure(REASONING, out), text))

    def _cite(self, raw: msgspec.Raw, out: list[hub.Event]) -> None:
        """One citation with a source or more. Those of thinking or of the plan have no place in the hub."""
        if not wire.is_given(raw):
            return
        citation = wire.read(wire.CITATION, raw)
        if citation.type not in (None, "TEXT_CONTENT"):
            return
        self._start(None, out)
        texts = [index for kind, index in self._content.values() if kind is _Kind.TEXT]
        # The text has ended when the citation comes late; a citation needs a text block, so it gets an empty one.
        index = texts[-1] if texts else self._blocks.hold(TextBlock(), out)
        for source in citation.sources or ():
            document = source.document
            out.append(
                CitationAdded(
                    index,
                    url=document.url if document is not None else None,
                    title=(document.title if document is not None else None) or source.id,
                    cited_text=document.snippet if document is not None else None,
                    start=citation.start if texts else None,
                    end=citation.end if texts else None,
                    raw=bytes(raw).decode("utf-8", "replace"),
                    origin=Origin.COHERE,
                )
            )
        if not texts:
            self._blocks.end(index, out)

    # --- calls

    def _start_call(self, wire_index: int, call: wire.ToolCall, out: list[hub.Event]) -> None:
        self._start(None, out)
        self._end_call(wire_index, out)
        function = call.function
        if function is None or not function.name:
            raise UpstreamProtocolError("The provider sent a tool call without a name.")
        name = read_back(function.name)
        is_custom = name in self._custom_tools
        block = ToolCallBlock(self._call_id(call.id), name, ToolKind.CUSTOM if is_custom else ToolKind.FUNCTION)
        self._calls[wire_index] = _Call(self._blocks.hold(block, out), Unwrapper() if is_custom else None)
        self._add_arguments(wire_index, call, out)

    def _call_id(self, id: str | None) -> str:
        if not id or id in self._call_ids:
            tail = "".join(char for char in self._id if char.isascii() and char.isalnum())[-16:]
            id = f"call_{len(self._call_ids)}_{tail}"
        self._call_ids.add(id)
        return id

    def _add_arguments(self, wire_index: int, call: wire.ToolCall, out: list[hub.Event]) -> None:
        opened = self._calls.get(wire_index)
        text = call.function.arguments if call.function is not None else None
        if opened is None or not text:
            return
        opened.has_arguments = True
        if opened.unwrapper is not None:
            text = opened.unwrapper.feed(text)
        if text:
            out.append(ArgumentsDelta(opened.index, text))

    def _end_call(self, wire_index: int, out: list[hub.Event]) -> None:
        """Close the call, if it is open. A call without arguments streams none (recording cohere-empty-tool-call)."""
        opened = self._calls.pop(wire_index, None)
        if opened is None:
            return
        rest = opened.unwrapper.finish() if opened.unwrapper is not None else ""
        if not opened.has_arguments and opened.unwrapper is None:
            rest = "{}"
        if rest:
            out.append(ArgumentsDelta(opened.index, rest))
        self._blocks.end(opened.index, out)

    # --- whole answers, and the end

    def read_whole(self, whole: wire.Whole, out: list[hub.Event]) -> None:
        """The events of an answer that did not come as a stream."""
        message = whole.message or wire.Message()
        self._start(whole.id, out)
        self._add_plan(message.tool_plan, out)
        contents = wire.contents_of(message)
        for index, content in enumerate(contents):
            self._add_content(index, content, out, is_start=True)
            if content.type == "thinking":
                self._end_content(index, out)
        for citation in wire.citations_of(message):
            self._cite(citation, out)
        for index in range(len(contents)):
            self._end_content(index, out)
        for index, call in enumerate(wire.calls_of(message)):
            self._start_call(index, call, out)
            self._end_call(index, out)
        self.end(whole.finish_reason, whole.usage, None, out)

    def end(self, word: str | None, usage: wire.WireUsage | None, error: str | None, out: list[hub.Event]) -> None:
        """The ending: success or what went wrong, with the usage before it."""
        self.is_ended = True
        for wire_index in list(self._calls):
            self._end_call(wire_index, out)
        self._blocks.end_all(out)
        total = wire.usage_of(usage) if usage is not None else None
        if total is not None:
            out.append(total)
        if error or (word or "") in KIND_BY_REASON:
            out.append(failed_end(word or "", error))
            return
        reason = wire.FINISH_REASON.get(word or "", FinishReason.OTHER)
        if self._call_ids and (reason is FinishReason.STOP or not word):
            reason = FinishReason.TOOL_CALLS
        elif reason is FinishReason.TOOL_CALLS and not self._call_ids:
            reason = FinishReason.STOP
        out.append(MessageEnd(reason, word))


def decode_completion(body: bytes, target: Target) -> Completion:
    """A whole answer. Raises UpstreamError for a failure in a 200, UpstreamProtocolError for anything that is no answer."""
    whole = wire.read(_ANSWER, body)
    if not wire.is_given(whole.message):
        raise UpstreamProtocolError("The provider's answer is not a message.")
    if bytes(whole.message).startswith(b'"'):
        fault = stream_error(body)
        raise UpstreamError(fault.kind, fault.message, status=200, code=fault.code)
    out: list[hub.Event] = []
    _Answer(target).read_whole(wire.read(wire.WHOLE, body), out)
    if isinstance(ending := out[-1], StreamError):
        raise UpstreamError(ending.kind, ending.message, status=200, code=ending.code)
    return fold(out)


_ANSWER = msgspec.json.Decoder(wire.Event)
