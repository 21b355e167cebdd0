"""Reads a Gemini answer: a stream of whole responses, as server-sent events or as one JSON array.

    {candidates:[{content:{parts:[…]}}], usageMetadata}   again and again: parts are to be joined, counts are totals
    {candidates:[{…, finishReason}], usageMetadata}        the last one

* There is no terminator. The answer is whole when a `finishReason` (or a `blockReason` of the prompt) came and the body
  then ended cleanly, between two events, or with the array's bracket. Anything else is a cut.
* A part is a piece of text, a piece of thought, or something whole: a function call, a file, a server tool's step.
* `thoughtSignature` sits on a part of any kind. On a thought or a call it belongs to that block. On text or a file it
  becomes an empty reasoning block before the block that it belongs to; on an empty text, one of its own.
* Only the first candidate is read: the others are for callers who speak this API, and see the bytes themselves.
"""

from proxy.framing.json_array import JsonArrayFramer
from proxy.framing.sse import SseFramer
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    Usage,
)
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.blocks import REASONING, REFUSAL, TEXT, BlockTracker
from proxy.providers.gemini import wire
from proxy.providers.gemini.calls import Calls
from proxy.providers.gemini.citations import Citations
from proxy.providers.gemini.errors import error_in, stream_error

BLANK = b" \t\r\n\xef\xbb\xbf"
"""What may stand before either framing: white space and a byte order mark."""


class GeminiDecoder:
    """Decodes one stream. See `hub.codec.StreamDecoder`. Either framing is recognised by its first byte."""

    def __init__(self, target: Target) -> None:
        self._max_frame_bytes = target.max_frame_bytes
        self._framer: SseFramer | JsonArrayFramer | None = None
        self._answer = Answer(target)

    def feed(self, data: bytes) -> list[Event]:
        out: list[Event] = []
        answer = self._answer
        for payload in self._payloads(data):
            if answer.is_ended:
                break
            answer.take(payload, out)
        return out

    def finish(self) -> list[Event]:
        out: list[Event] = []
        answer = self._answer
        if not answer.is_ended:
            is_whole = self._finish_framing(out)
            if not answer.is_ended:
                framer = self._framer
                bare_json = framer.bare_json if isinstance(framer, SseFramer) else b""
                answer.finish(out, is_whole=is_whole, failure=error_in(bare_json))
        return out

    @property
    def has_finish_reason(self) -> bool:
        """See `hub.codec.TellsFinish`."""
        return self._answer.has_reason

    def _payloads(self, data: bytes) -> list[bytes]:
        framer = self._framer
        if framer is None:
            data = data.lstrip(BLANK)
            if not data:
                return []
            reader = JsonArrayFramer if data[:1] in (b"[", b"{") else SseFramer
            framer = self._framer = reader(self._max_frame_bytes)
        if isinstance(framer, SseFramer):
            return [payload for _, payload in framer.feed(data)]
        return framer.feed(data)

    def _finish_framing(self, out: list[Event]) -> bool:
        """Whether the body ended between two events. A last event without its blank line is taken."""
        framer = self._framer
        if not isinstance(framer, SseFramer):
            return framer is not None and framer.is_whole
        is_between_events = framer.is_between_events
        rest = framer.finish()
        if rest is None:
            return is_between_events
        try:
            self._answer.take(rest[1], out)
        except UpstreamProtocolError:
            return False
        return True


class Answer:
    """The state of one answer."""

    def __init__(self, target: Target) -> None:
        self.is_ended = False
        self._is_started = False
        self._blocks = BlockTracker()
        self._citations = Citations()
        self._calls = Calls(self._blocks, target.custom_tools)
        self._usage: Usage | None = None
        self._reason = ""
        """The last `finishReason`, or `blockReason`."""
        self._is_blocked = False

    @property
    def has_reason(self) -> bool:
        return bool(self._reason)

    # --- one response

    def take(self, payload: bytes, out: list[Event]) -> None:
        """The events of one response, or of the error object in its place."""
        if payload[:6] == b"[DONE]":
            # Servers that copy this API end their streams as they end others.
            return
        for chunk in wire.read_chunks(payload):
            if not self.is_ended:
                self._take_chunk(chunk, out)

    def _take_chunk(self, chunk: wire.Chunk, out: list[Event]) -> None:
        if wire.is_given(chunk.error):
            self.is_ended = True
            out.append(stream_error(bytes(chunk.error)))
            return
        candidates = chunk.candidates
        if not self._is_started:
            if not (candidates or chunk.promptFeedback or chunk.usageMetadata or chunk.responseId):
                return
            self._is_started = True
            self._calls.answer_id = chunk.responseId or ""
            out.append(MessageStart(chunk.responseId or "", chunk.modelVersion or ""))
        if candidates:
            for candidate in candidates:
                if not candidate.index:
                    self._take_candidate(candidate, out)
        feedback = chunk.promptFeedback
        if feedback is not None and (feedback.blockReason or "") not in wire.UNSPECIFIED:
            self._block(feedback, out)
        if chunk.usageMetadata is not None:
            usage = wire.usage_of(chunk.usageMetadata)
            if usage is not None and usage != self._usage:
                self._usage = usage
                out.append(usage)

    def _block(self, feedback: wire.PromptFeedback, out: list[Event]) -> None:
        """The prompt was blocked. There is no answer beside the reason in words, where one was given."""
        if feedback.blockReasonMessage and not self._is_blocked:
            self._calls.end(out)
            out.append(RefusalDelta(self._blocks.ensure(REFUSAL, out), feedback.blockReasonMessage))
        self._reason = feedback.blockReason or ""
        self._is_blocked = True

    def _take_candidate(self, candidate: wire.Candidate, out: list[Event]) -> None:
        content = candidate.content
        last_signature = None
        if content is not None and content.parts:
            parts = content.parts
            if _is_bare_signature(parts[-1]):
                # Its reasoning block would end the text that the citations of this very chunk are about.
                last_signature = parts.pop().thoughtSignature
            for part in parts:
                if part.text and not part.thoughtSignature:
                    self._add_text(part.text, part.thought, out)
                else:
                    self._take_part(part, out)
        if candidate.groundingMetadata or candidate.citationMetadata or candidate.urlContextMetadata:
            self._cite(candidate, out)
        if last_signature is not None:
            self._add_signature(last_signature, out)
        reason = candidate.finishReason
        if reason is not None and reason not in wire.UNSPECIFIED:
            self._reason = reason
            self._calls.end_empty(out)

    def _add_text(self, text: str, is_thought: bool | None, out: list[Event]) -> None:
        blocks = self._blocks
        if is_thought:
            index = blocks.index if blocks.content is REASONING else self._ensure(REASONING, out)
            out.append(ReasoningDelta(index, text))
            return
        index = blocks.index if blocks.content is TEXT else self._ensure(TEXT, out)
        self._citations.text.add(text)
        out.append(TextDelta(index, text))

    def _ensure(self, block: TextBlock | ReasoningBlock, out: list[Event]) -> int:
        self._calls.end(out)
        if block is TEXT:
            self._citations.text.next_block()
        return self._blocks.ensure(block, out)

    def _take_part(self, part: wire.Part, out: list[Event]) -> None:
        """A part that is not merely text."""
        signature = part.thoughtSignature or None
        if part.functionCall is not None:
            self._calls.take(part.functionCall, signature, out)
        elif part.thought:
            # Pictures of a thought are drafts, no part of the answer.
            self._add_signed_thought(part.text or "", signature, out)
        elif wire.is_given(part.executableCode):
            self._calls.take_code(part.executableCode, signature, out)
        elif wire.is_given(part.toolCall):
            self._calls.take_tool(part.toolCall, signature, out)
        elif wire.is_given(part.codeExecutionResult):
            self._calls.take_result("codeExecutionResult", part.codeExecutionResult, signature, out)
        elif wire.is_given(part.toolResponse):
            self._calls.take_result("toolResponse", part.toolResponse, signature, out)
        else:
            if signature is not None:
                self._add_signature(signature, out)
            self._add_content(part, out)

    def _add_content(self, part: wire.Part, out: list[Event]) -> None:
        if part.text:
            self._add_text(part.text, False, out)
            self._blocks.end_content(out)
        elif part.inlineData is not None and part.inlineData.data:
            media_type = part.inlineData.mimeType or "application/octet-stream"
            self._add_block(MediaBlock(media_type, data=part.inlineData.data), out)
        elif part.fileData is not None and part.fileData.fileUri:
            media_type = part.fileData.mimeType or "application/octet-stream"
            self._add_block(MediaBlock(media_type, url=part.fileData.fileUri), out)

    def _add_signed_thought(self, text: str, signature: str | None, out: list[Event]) -> None:
        if not text and signature is None:
            return
        index = self._ensure(REASONING, out)
        if text:
            out.append(ReasoningDelta(index, text))
        if signature is not None:
            out.append(SignatureAdded(index, signature, Origin.GEMINI))
            # A signature belongs to all the thought before it; what follows is another thought.
            self._blocks.end_content(out)

    def _add_signature(self, signature: str, out: list[Event]) -> None:
        """A signature that belongs to no thought and no call."""
        self._calls.end(out)
        index = self._blocks.ensure(ReasoningBlock(), out)
        out.append(SignatureAdded(index, signature, Origin.GEMINI))
        self._blocks.end_content(out)

    def _add_block(self, block: MediaBlock, out: list[Event]) -> None:
        self._calls.end(out)
        self._blocks.add(block, out)

    # --- citations and the end

    def _cite(self, candidate: wire.Candidate, out: list[Event]) -> None:
        is_open = self._blocks.content is TEXT
        if not is_open:
            self._citations.text.next_block()
        found = self._citations.found(candidate, self._blocks.index if is_open else self._blocks.opened)
        if found and not is_open:
            # The text has ended; a citation needs a text block, so it gets an empty one.
            self._ensure(TEXT, out)
        out.extend(found)

    def finish(self, out: list[Event], *, is_whole: bool, failure: StreamError | None = None) -> None:
        """The ending, when the body has ended. `is_whole`: not inside an event. `failure`: why there is no other."""
        self.is_ended = True
        if not is_whole or not self._reason:
            out.append(failure or StreamError(ErrorKind.CUT, CUT_MESSAGE))
            return
        self._calls.end(out, is_whole=self._reason != "MAX_TOKENS")
        self._blocks.end_all(out)
        out.append(self._end())

    def _end(self) -> MessageEnd:
        if self._is_blocked:
            return MessageEnd(FinishReason.CONTENT_FILTER, self._reason)
        reason = wire.FINISH_REASON.get(self._reason, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._calls.has_any:
            reason = FinishReason.TOOL_CALLS
        return MessageEnd(reason, self._reason)

    def finish_whole(self, out: list[Event]) -> None:
        """The ending of an answer that did not come as a stream: its own bracket says that it is whole."""
        if not self._reason and not self.is_ended:
            self._calls.end(out)
            self._blocks.end_all(out)
            out.append(MessageEnd(FinishReason.TOOL_CALLS if self._calls.has_any else FinishReason.OTHER))
        elif not self.is_ended:
            self.finish(out, is_whole=True)


def _is_bare_signature(part: wire.Part) -> bool:
    """Whether a part is nothing but a signature: an empty text (recording strict-mode-streamed), or no content at all."""
    return (
        bool(part.thoughtSignature)
        and not part.text
        and not part.thought
        and part.functionCall is None
        and part.inlineData is None
        and part.fileData is None
        and not (part.executableCode or part.codeExecutionResult or part.toolCall or part.toolResponse)
    )


def decode_completion(body: bytes, target: Target) -> Completion:
    """A whole answer: one response, or the array of a stream that was collected.

    Raises UpstreamError for an error object, UpstreamProtocolError for anything that is no answer.
    """
    out: list[Event] = []
    answer = Answer(target)
    answer.take(body.lstrip(BLANK), out)
    if not out:
        raise UpstreamProtocolError("the answer has neither candidates nor prompt feedback")
    answer.finish_whole(out)
    if isinstance(fault := out[-1], StreamError):
        raise UpstreamError(fault.kind, fault.message, code=fault.code)
    return fold(out)
