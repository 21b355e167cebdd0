"""Reads a ConverseStream answer: AWS event frames with JSON payloads.

    messageStart
    contentBlockStart        of a call, a result or an image; text and reasoning have none
    contentBlockDelta…       text, reasoning (text, then its signature), a call's input, citations
    contentBlockStop
    messageStop              why it ends
    metadata                 usage: after the end, so the end waits for it, or for the body's

* Citations may come in a block of their own behind the text that they are about (recording
  web-search-with-bedrock-amazon-nova-2-lite): a text block stays open until something other than a citation begins.
* An exception is a frame of its own, and the last one.
"""

import base64
import binascii

import msgspec

from proxy.framing.aws_eventstream import AwsEventFramer, EventFrame
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
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
)
from proxy.hub.identifiers import read_back
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.bedrock import wire
from proxy.providers.bedrock.errors import stream_error
from proxy.providers.bedrock.models import origin
from proxy.providers.blocks import BlockTracker
from proxy.providers.custom_tools import Unwrapper


class BedrockDecoder:
    """Decodes one stream. See `hub.codec.StreamDecoder`."""

    def __init__(self, target: Target) -> None:
        self._framer = AwsEventFramer(target.max_frame_bytes)
        self._answer = _Answer(target)
        self._fault: UpstreamProtocolError | None = None
        """A fault that came behind good frames in one read: they go first, it is raised at the next call."""

    def feed(self, data: bytes) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        answer = self._answer
        if answer.is_ended:
            return out
        frames: list[EventFrame] = []
        fault: UpstreamProtocolError | None = None
        try:
            self._framer.take(data, frames)
        except UpstreamProtocolError as found:
            fault = found
        try:
            for frame in frames:
                answer.take(frame, out)
        except UpstreamProtocolError as found:
            fault = found
        if fault is not None and not answer.is_ended:
            if not out:
                raise fault
            self._fault = fault
        return out

    def finish(self) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        answer = self._answer
        if not answer.is_ended:
            if answer.is_stopped and self._framer.is_between_frames:
                answer.end(out)
            else:
                out.append(StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return out


class _Call:
    """A call, a result or an image between its start and its stop."""

    __slots__ = ("has_arguments", "image", "index", "pieces", "result", "unwrapper")

    def __init__(self) -> None:
        self.index = -1
        self.has_arguments = False
        self.unwrapper: Unwrapper | None = None
        self.result: wire.ToolResult | None = None
        self.image: wire.Image | None = None
        self.pieces: list[bytes] = []
        """Of a result's content or an image's bytes."""


class _Answer:
    """The state of one answer."""

    def __init__(self, target: Target) -> None:
        self.is_ended = False
        self.is_stopped = False
        """The reason was given: only the usage may follow."""
        self._is_started = False
        self._custom_tools = target.custom_tools
        self._origin = origin(target)
        self._blocks = BlockTracker()
        self._content_of: int | None = None
        """The wire's index of the open text or reasoning."""
        self._opened: dict[int, _Call] = {}
        self._call_ids: set[str] = set()
        self._has_own_calls = False
        self._reason: str | None = None

    def take(self, frame: EventFrame, out: list[Event]) -> None:
        """The events of one frame. Raises UpstreamProtocolError. Nothing is read after the ending."""
        if self.is_ended:
            return
        headers = frame.headers
        kind = headers.get(":message-type", "event")
        if kind == "exception" or kind == "error":
            self.is_ended = True
            name = headers.get(":exception-type") or headers.get(":error-code") or ""
            words = headers.get(":error-message")
            payload = frame.payload or (msgspec.json.encode({"message": words}) if words else b"")
            out.append(stream_error(name, payload))
            return
        name = headers.get(":event-type", "")
        if name not in _EVENTS:
            return
        event = wire.read(wire.PAYLOAD, frame.payload)
        if name == "contentBlockDelta":
            if event.delta is not None:
                self._add(event.contentBlockIndex, event.delta, out)
        elif name == "contentBlockStart":
            if event.start is not None:
                self._start_block(event.contentBlockIndex, event.start, out)
        elif name == "contentBlockStop":
            self._stop_block(event.contentBlockIndex, out)
        elif name == "messageStart":
            self._start(out)
        elif name == "messageStop":
            self._start(out)
            self.is_stopped = True
            self._reason = event.stopReason
        else:
            self._take_metadata(event, out)

    def _start(self, out: list[Event]) -> None:
        if not self._is_started:
            self._is_started = True
            out.append(MessageStart("", ""))

    def _take_metadata(self, payload: wire.Payload, out: list[Event]) -> None:
        self._start(out)
        if payload.usage is not None:
            out.append(wire.usage_of(payload.usage, payload.serviceTier))
        if self.is_stopped:
            self.end(out)

    def end(self, out: list[Event]) -> None:
        """The success terminator."""
        self.is_ended = True
        for wire_index in list(self._opened):
            self._stop_block(wire_index, out)
        self._blocks.end_all(out)
        word = self._reason
        reason = wire.FINISH_REASON.get(word or "", FinishReason.OTHER)
        if self._has_own_calls and (reason is FinishReason.STOP or not word):
            reason = FinishReason.TOOL_CALLS
        elif reason is FinishReason.TOOL_CALLS and not self._has_own_calls:
            reason = FinishReason.STOP
        out.append(MessageEnd(reason, word))

    # --- deltas

    def _add(self, wire_index: int, delta: wire.Delta, out: list[Event]) -> None:
        self._start(out)
        if delta.text is not None:
            if delta.text:
                out.append(TextDelta(self._content(wire_index, TextBlock, out), delta.text))
        elif delta.toolUse is not None:
            self._add_arguments(wire_index, wire.json_of(delta.toolUse.input), out)
        elif delta.reasoningContent is not None:
            self._add_reasoning(wire_index, delta.reasoningContent, out)
        elif wire.is_given(delta.citation):
            self._cite(delta.citation, out)
        elif wire.is_given(delta.toolResult):
            opened = self._opened.get(wire_index)
            if opened is not None:
                opened.pieces += [bytes(one) for one in wire.read(wire.RAWS, delta.toolResult)]
        elif delta.image is not None:
            self._add_image(wire_index, delta.image)

    def _content(self, wire_index: int, kind: type[TextBlock] | type[ReasoningBlock], out: list[Event]) -> int:
        """The index of the block of this kind that is open for the wire's block, begun now where none is."""
        blocks = self._blocks
        if self._content_of == wire_index and type(blocks.content) is kind:
            return blocks.index
        self._content_of = wire_index
        return blocks.ensure(kind(), out)

    def _add_reasoning(self, wire_index: int, reasoning: wire.Reasoning, out: list[Event]) -> None:
        if reasoning.redactedContent:
            data = reasoning.redactedContent
            if self._origin is Origin.ANTHROPIC:
                data = wire.unpacked(data)
            self._blocks.add(RedactedReasoningBlock(data, self._origin), out)
            return
        whole = reasoning.reasoningText or wire.ReasoningText()
        text, signature = reasoning.text or whole.text, reasoning.signature or whole.signature
        if text:
            out.append(ReasoningDelta(self._content(wire_index, ReasoningBlock, out), text))
        if signature:
            out.append(SignatureAdded(self._content(wire_index, ReasoningBlock, out), signature, self._origin))

    def _cite(self, raw: msgspec.Raw, out: list[Event]) -> None:
        """A citation of the text before it; positions are the source's, not the answer's."""
        citation = wire.read(wire.CITATION, raw)
        blocks = self._blocks
        index = blocks.index if type(blocks.content) is TextBlock else blocks.ensure(TextBlock(), out)
        web = citation.location.web if citation.location is not None else None
        cited = "".join(one.text or "" for one in citation.sourceContent or ())
        out.append(
            CitationAdded(
                index,
                url=(web.url if web is not None else None) or citation.source,
                title=citation.title or (web.domain if web is not None else None),
                cited_text=cited or None,
                raw=bytes(raw).decode("utf-8", "replace"),
                origin=Origin.BEDROCK,
            )
        )

    # --- blocks with a start

    def _start_block(self, wire_index: int, start: wire.Start, out: list[Event]) -> None:
        self._start(out)
        self._stop_block(wire_index, out)
        opened = _Call()
        if start.toolUse is not None:
            self._start_call(opened, start.toolUse, out)
        elif start.toolResult is not None:
            opened.result = start.toolResult
        elif start.image is not None:
            opened.image = start.image
        else:
            return
        self._opened[wire_index] = opened

    def _start_call(self, opened: _Call, call: wire.ToolUse, out: list[Event]) -> None:
        if not call.name:
            raise UpstreamProtocolError("The provider sent a tool call without a name.")
        name = read_back(call.name)
        kind = ToolKind.FUNCTION
        if call.type == "server_tool_use":
            kind = ToolKind.SERVER
        elif name in self._custom_tools:
            kind = ToolKind.CUSTOM
            opened.unwrapper = Unwrapper()
        self._has_own_calls = self._has_own_calls or kind is not ToolKind.SERVER
        id = call.toolUseId
        if not id or id in self._call_ids:
            id = f"tooluse_{len(self._call_ids)}"
        self._call_ids.add(id)
        opened.index = self._blocks.hold(ToolCallBlock(id, name, kind), out)

    def _add_arguments(self, wire_index: int, text: str, out: list[Event]) -> None:
        opened = self._opened.get(wire_index)
        if opened is None or opened.index < 0 or not text:
            return
        opened.has_arguments = True
        if opened.unwrapper is not None:
            text = opened.unwrapper.feed(text)
        if text:
            out.append(ArgumentsDelta(opened.index, text))

    def _add_image(self, wire_index: int, image: wire.Image) -> None:
        opened = self._opened.get(wire_index)
        data = image.source.bytes if image.source is not None else None
        if opened is None or opened.image is None or not data:
            return
        try:
            opened.pieces.append(base64.b64decode(data, validate=True))
        except binascii.Error as fault:
            raise UpstreamProtocolError("The provider sent an image that is no base64.") from fault

    def _stop_block(self, wire_index: int, out: list[Event]) -> None:
        """Close what has a start of its own. Text stays open for the citations behind it."""
        opened = self._opened.pop(wire_index, None)
        if opened is None:
            return
        if opened.result is not None:
            self._add_result(opened.result, b"[" + b",".join(opened.pieces) + b"]", out)
        elif opened.image is not None:
            media_type = f"image/{opened.image.format or 'png'}"
            data = base64.b64encode(b"".join(opened.pieces)).decode()
            self._blocks.add(MediaBlock(media_type, data=data), out)
        else:
            rest = opened.unwrapper.finish() if opened.unwrapper is not None else ""
            if not opened.has_arguments and opened.unwrapper is None:
                rest = "{}"
            if rest:
                out.append(ArgumentsDelta(opened.index, rest))
            self._blocks.end(opened.index, out)

    def _add_result(self, result: wire.ToolResult, content: bytes, out: list[Event]) -> None:
        self._blocks.add(
            ToolResultBlock(
                result.toolUseId or "",
                content.decode("utf-8", "replace"),
                Origin.BEDROCK,
                type=result.type or "toolResult",
                is_error=result.status == "error",
            ),
            out,
        )

    # --- whole answers

    def take_whole(self, whole: wire.Whole, blocks: list[wire.Content], out: list[Event]) -> None:
        """The events of an answer that did not come as a stream."""
        self._start(out)
        for wire_index, block in enumerate(blocks):
            if block.toolResult is not None:
                content = bytes(block.toolResult.content) or b"[]"
                self._add_result(block.toolResult, content, out)
                continue
            if block.toolUse is not None or block.image is not None:
                self._start_block(wire_index, wire.Start(toolUse=block.toolUse, image=block.image), out)
            delta = wire.Delta(block.text, block.toolUse, block.reasoningContent, image=block.image)
            cited = block.citationsContent
            if cited is not None:
                delta = wire.Delta("".join(one.text or "" for one in cited.content or ()))
            self._add(wire_index, delta, out)
            for citation in (cited.citations or ()) if cited is not None else ():
                self._cite(citation, out)
            self._stop_block(wire_index, out)
        if whole.usage is not None:
            out.append(wire.usage_of(whole.usage, whole.serviceTier))
        self._reason = whole.stopReason
        self.end(out)


_EVENTS = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


def decode_completion(body: bytes, target: Target) -> Completion:
    """A whole answer. Raises UpstreamError for an error object, UpstreamProtocolError for anything that is no answer."""
    whole = wire.read(wire.WHOLE, body)
    message = whole.output.message if whole.output is not None else None
    if message is None:
        if whole.message is None:
            raise UpstreamProtocolError("The provider's answer is not a message.")
        fault = stream_error("", body)
        raise UpstreamError(fault.kind, fault.message, status=200)
    out: list[Event] = []
    _Answer(target).take_whole(whole, message.content or [], out)
    return fold(out)
