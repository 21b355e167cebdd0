"""Read a Chat Completions stream, from OpenAI and from everyone who says to be compatible.

By the API: data-only SSE; chunks with `choices[0].delta`; one with `finish_reason`; perhaps one with `usage` and no
choices; `[DONE]`. What others do besides, and what is made of it:

* Reasoning as `reasoning_content`, `reasoning`, `reasoning_text`, `reasoning_details` (often two of them with the same
  text: one counts) or in `content` arrays; with the quirk `think_tags` also inside the text.
* `usage` beside choices, in `x_groq`, in every chunk: the last report counts.
* `finish_reason` twice, empty, before the last content, or in a stream without `[DONE]`. The message ends at `[DONE]`, or
  with the body once a finish reason was seen. Neither: the stream was cut.
* Errors as chunks, as `event: error`, as a finish reason, as bare JSON behind the last event, as a field `error` before a
  `[DONE]` that ends nothing (llama.cpp until late 2025), and as nothing but that `[DONE]`.
* A whole `message` at the end that repeats what was streamed (MiniMax).
* Other choices than the first are not read: the hub holds one answer.
"""

import msgspec

from proxy.framing.sse import SseFramer
from proxy.hub.errors import ErrorKind, UpstreamProtocolError
from proxy.hub.events import (
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextDelta,
    Usage,
)
from proxy.hub.json_text import mended
from proxy.hub.reasoning_details import ENCRYPTED, ReasoningDetail, proof
from proxy.hub.skim import Rereader
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.blocks import REASONING, REFUSAL, TEXT, BlockTracker, ContentBlock
from proxy.providers.openai_chat.errors import error_in, stream_error
from proxy.providers.openai_chat.sources import Sources, citation, image
from proxy.providers.openai_chat.think_tags import ThinkTags
from proxy.providers.openai_chat.tools import ToolCalls
from proxy.providers.openai_chat.usage import read_usage
from proxy.providers.openai_chat.wire import Choice, Chunk, ContentPart, Delta, Loose, entries

FINISH_REASON: dict[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "model_length": FinishReason.CONTEXT_FULL,
    "sensitive": FinishReason.CONTENT_FILTER,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "eos_token": FinishReason.STOP,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
    "refusal": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "blocklist": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "spii": FinishReason.CONTENT_FILTER,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "malformed_function_call": FinishReason.MALFORMED_CALL,
}
"""OpenAI's five, then `model_length` (Mistral), `sensitive` (Z.ai), `eos_token` (Text Generation Inference) and words of
other APIs that gateways let through. A word not listed is OTHER."""

FAILED_FINISH: dict[str, ErrorKind] = {
    "error": ErrorKind.UPSTREAM_FAILED,
    "network_error": ErrorKind.UPSTREAM_FAILED,
    "abort": ErrorKind.UPSTREAM_FAILED,
    "insufficient_system_resource": ErrorKind.OVERLOADED,
}
"""Finish reasons that say that the answer is not whole: OpenRouter and Mistral, Z.ai, vLLM, DeepSeek."""

TEXT_PARTS = frozenset({"text", "output_text", None})
"""Types of `content` entries that are text; others have their own fields, or are unknown and skipped."""

NO_ANSWER = "The provider ended its stream without an answer."

DONE = b"[DONE]"

_DECODER = msgspec.json.Decoder(Chunk)


class ChatDecoder:
    """One answer. What a wrong type or broken JSON has spoilt raises UpstreamProtocolError, after the events before it."""

    def __init__(self, target: Target) -> None:
        quirks = target.quirks
        self._framer = SseFramer(target.max_frame_bytes)
        self._rereader = Rereader()
        self._blocks = BlockTracker()
        self._tools = ToolCalls(self._blocks, frozenset() if quirks.custom_tools else target.custom_tools)
        self._tags = ThinkTags() if quirks.think_tags else None
        self._sources = Sources()
        self._id = ""
        self._started = False
        self._ended = False
        self._fault: UpstreamProtocolError | None = None
        """A fault behind events that had to be returned first: raised by the next call."""
        self._finish_reason: str | None = None
        self._choice_error: StreamError | None = None
        self._is_of_messages = False
        """The answer comes as `message`, in one piece or in more, not as `delta`."""
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._has_refused = False
        self._text_blocks = 0
        self._detail_index: int | None = None
        """`reasoning_details[].index` of the open reasoning block."""

    def feed(self, data: bytes) -> list[Event]:
        out: list[Event] = []
        if self._ended:
            return out
        if self._fault is not None:
            raise self._fault
        rereader = self._rereader
        try:
            for name, payload in self._framer.feed(data):
                if rereader.least and (delta := rereader.read(name, payload)) is not None:
                    out.append(delta)
                    continue
                seen = len(out)
                self._take_frame(name, payload, out)
                if self._ended:
                    break
                # Tags in the text would change what it is.
                is_one = len(out) == seen + 1 and self._tags is None
                rereader.least = rereader.learn(name, payload, out[seen]) if is_one else 0
        except UpstreamProtocolError as fault:
            if not out:
                raise
            self._fault = fault
        return out

    def finish(self) -> list[Event]:
        out: list[Event] = []
        if self._ended:
            return out
        if self._fault is not None:
            raise self._fault
        rest = self._framer.finish()
        is_whole = True
        if rest is not None:
            try:
                self._take_frame(*rest, out)
                is_whole = bool(rest[1].strip())
            except UpstreamProtocolError:
                is_whole = False
        if self._ended:
            return out
        if is_whole and self._finish_reason is not None:
            self._end(out)
        else:
            failure = error_in(self._framer.bare_json, is_surely_one=False)
            self._fail(failure or StreamError(ErrorKind.CUT, CUT_MESSAGE), out)
        return out

    @property
    def has_finish_reason(self) -> bool:
        """See `hub.codec.TellsFinish`."""
        return self._finish_reason is not None and self._finish_reason not in FAILED_FINISH

    def read_whole(self, body: bytes) -> list[Event]:
        """The events of an answer that did not come as a stream. Raises UpstreamProtocolError if it is none."""
        out: list[Event] = []
        chunk = _decode(body)
        failure = _failure(b"", body, chunk)
        if failure is None and not chunk.choices:
            raise UpstreamProtocolError("The provider sent an answer without choices.")
        for choice in chunk.choices or ():
            choice.delta = choice.message or choice.delta
        self._take_chunk(chunk, out)
        if failure is not None:
            self._fail(failure, out)
        if not self._ended:
            self._end(out)
        return out

    # --- frames

    def _take_frame(self, name: bytes, payload: bytes, out: list[Event]) -> None:
        if payload[:1] != b"{":
            stripped = payload.strip()
            if stripped.startswith(DONE):
                self._take_done(out)
                return
            if not stripped:
                return
        chunk = _decode(payload)
        if chunk.choices is None or chunk.error is not None or name or chunk.x_groq is not None:
            failure = _failure(name, payload, chunk)
            self._take_chunk(chunk, out)
            if failure is not None:
                self._fail(failure, out)
            return
        self._take_chunk(chunk, out)

    def _take_done(self, out: list[Event]) -> None:
        """`[DONE]` alone is an ending, but of no answer that broke off with an error outside of any event, or never began."""
        failure = None
        if self._finish_reason is None:
            failure = error_in(self._framer.bare_json, is_surely_one=False)
            if failure is None and not self._started:
                failure = StreamError(ErrorKind.UPSTREAM_FAILED, NO_ANSWER)
        if failure is None:
            self._end(out)
        else:
            self._fail(failure, out)

    def _take_chunk(self, chunk: Chunk, out: list[Event]) -> None:
        if not self._started and (chunk.choices or chunk.id):
            self._start(chunk, out)
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice, out)
        if chunk.service_tier and isinstance(chunk.service_tier, str):
            self._service_tier = chunk.service_tier
        if chunk.usage is not None:
            self._take_usage(chunk.usage, out)
        elif chunk.x_groq is not None:
            self._take_usage(chunk.x_groq.usage, out)
        if chunk.citations is not None or chunk.search_results is not None:
            self._sources.keep(entries(chunk.citations), entries(chunk.search_results))

    def _start(self, chunk: Chunk | None, out: list[Event]) -> None:
        """Azure's first chunk has neither choices nor an id, and says nothing of the message yet."""
        self._started = True
        model = ""
        if chunk is not None:
            self._id = str(chunk.id) if chunk.id else ""
            model = chunk.model or ""
        out.append(MessageStart(self._id, model))

    def _take_usage(self, report: Loose, out: list[Event]) -> None:
        if not isinstance(report, dict):
            return
        usage = read_usage(report, self._usage, self._service_tier)
        if usage is None or usage == self._usage:
            return
        if not self._started:
            self._start(None, out)
        self._usage = usage
        out.append(usage)

    # --- one choice

    def _take_choice(self, choice: Choice, out: list[Event]) -> None:
        delta = choice.delta
        if delta is None:
            delta = self._substitute(choice)
        content = delta.content
        if delta.reasoning_details is not None or delta.reasoning_content or delta.reasoning or delta.reasoning_text:
            self._take_reasoning(delta, out)
        if content:
            if isinstance(content, str) and self._tags is None:
                blocks = self._blocks
                index = blocks.index if blocks.content is TEXT else self._ensure(TEXT, out)
                out.append(TextDelta(index, content))
            else:
                self._take_content(content, out)
        if delta.tool_calls:
            if self._tags is not None:
                self._flush_tags(out)
            for call in delta.tool_calls:
                self._tools.take(call, self._id, out)
        if delta.refusal:
            self._has_refused = True
            out.append(RefusalDelta(self._ensure(REFUSAL, out), delta.refusal))
        if delta.annotations or delta.images or delta.function_call is not None or delta.audio is not None:
            self._take_rare(delta, out)
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
            if choice.error is not None:
                self._choice_error = stream_error(choice.error)

    def _substitute(self, choice: Choice) -> Delta:
        """A choice without `delta`: a whole message, or the older completions shape."""
        message = choice.message
        if message is None:
            return Delta(content=choice.text)
        if self._blocks.opened and not self._is_of_messages:
            # It repeats what was streamed: at most calls are new.
            return Delta() if self._tools.any else Delta(tool_calls=message.tool_calls)
        self._is_of_messages = True
        return message

    def _ensure(self, block: ContentBlock, out: list[Event]) -> int:
        """The index of the open block of this kind; what is open besides ends, if it can."""
        blocks = self._blocks
        if blocks.content is block:
            return blocks.index
        if self._tools.any:
            self._tools.settle(out)
        if block is TEXT:
            self._text_blocks += 1
        return blocks.ensure(block, out)

    def _take_content(self, content: str | list[ContentPart] | ContentPart, out: list[Event]) -> None:
        if not isinstance(content, str):
            for part in content if isinstance(content, list) else (content,):
                self._take_part(part, out)
        elif self._tags is None:
            out.append(TextDelta(self._ensure(TEXT, out), content))
        else:
            for is_reasoning, piece in self._tags.feed(content):
                self._take_piece(is_reasoning, piece, out)

    def _take_part(self, part: ContentPart, out: list[Event]) -> None:
        for nested in (part.thinking, part.summary):
            if isinstance(nested, str):
                self._add_reasoning(nested, out)
            elif nested is not None:
                for inner in nested:
                    self._add_reasoning(inner.text or "", out)
        if part.text and part.type in TEXT_PARTS:
            self._take_content(part.text, out)

    def _take_piece(self, is_reasoning: bool, piece: str, out: list[Event]) -> None:
        if is_reasoning:
            self._add_reasoning(piece, out)
        else:
            out.append(TextDelta(self._ensure(TEXT, out), piece))

    def _flush_tags(self, out: list[Event]) -> None:
        """Text that was held back as the possible beginning of a tag: something else follows, so it is none."""
        if self._tags is not None and (held := self._tags.finish()) is not None:
            self._take_piece(*held, out)

    # --- reasoning

    def _take_reasoning(self, delta: Delta, out: list[Event]) -> None:
        details = delta.reasoning_details or ()
        if not any(detail.shown for detail in details):
            self._add_reasoning(delta.reasoning_content or delta.reasoning or delta.reasoning_text or "", out)
        for detail in details:
            self._take_detail(detail, out)

    def _add_reasoning(self, text: str, out: list[Event]) -> None:
        if not text:
            return
        blocks = self._blocks
        if type(blocks.content) is not ReasoningBlock:
            self._detail_index = None
            self._ensure(REASONING, out)
        out.append(ReasoningDelta(blocks.index, text))

    def _take_detail(self, detail: ReasoningDetail, out: list[Event]) -> None:
        if detail.type == ENCRYPTED or (detail.data and not detail.shown):
            self._blocks.add(RedactedReasoningBlock(proof(detail), Origin.OPENROUTER, detail.id), out)
            return
        if not detail.shown and not detail.signature:
            return
        blocks = self._blocks
        is_other = None not in (detail.index, self._detail_index) and detail.index != self._detail_index
        if is_other or type(blocks.content) is not ReasoningBlock:
            self._ensure(ReasoningBlock(), out)
        self._detail_index = detail.index
        if detail.shown:
            out.append(ReasoningDelta(blocks.index, detail.shown))
        if detail.signature:
            out.append(SignatureAdded(blocks.index, proof(detail), Origin.OPENROUTER))

    # --- what comes rarely

    def _take_rare(self, delta: Delta, out: list[Event]) -> None:
        if delta.function_call is not None:
            self._tools.take_function_call(delta.function_call, self._id, out)
        if delta.audio is not None and delta.audio.transcript:
            self._take_content(delta.audio.transcript, out)
        for raw in entries(delta.annotations):
            index = self._ensure(TEXT, out)
            if (added := citation(raw, index, self._text_blocks == 1)) is not None:
                out.append(added)
        for raw in entries(delta.images):
            if (media := image(raw)) is not None:
                self._blocks.add(media, out)

    # --- endings

    def _fail(self, error: StreamError, out: list[Event]) -> None:
        self._ended = True
        if self._started:
            self._flush_tags(out)
        out.append(error)

    def _end(self, out: list[Event]) -> None:
        if not self._started:
            self._start(None, out)
        word = self._finish_reason
        failed = FAILED_FINISH.get(word) if word is not None else None
        if failed is not None:
            said = StreamError(failed, f"The provider ended the answer with the reason {word!r}.", word)
            self._fail(self._choice_error or said, out)
            return
        self._flush_tags(out)
        self._tools.finish(out)
        if self._sources.any:
            out.extend(self._sources.events(self._ensure(TEXT, out)))
        self._blocks.end_all(out)
        self._ended = True
        out.append(MessageEnd(self._reason(), word))

    def _reason(self) -> FinishReason:
        """What the answer itself shows wins over a plain `stop`: many servers say it after tool calls, OpenAI after a refusal."""
        word = self._finish_reason
        reason = FINISH_REASON.get(word.lower(), FinishReason.OTHER) if word is not None else FinishReason.OTHER
        if self._tools.any:
            return FinishReason.TOOL_CALLS if word is None or reason is FinishReason.STOP else reason
        if reason is FinishReason.TOOL_CALLS or reason is FinishReason.STOP:
            return FinishReason.REFUSAL if self._has_refused else FinishReason.STOP
        return reason


def _decode(payload: bytes) -> Chunk:
    try:
        return _DECODER.decode(payload)
    except msgspec.ValidationError as fault:
        raise UpstreamProtocolError(f"The provider sent a chunk of an unexpected shape: {fault}.") from fault
    except (ValueError, RecursionError) as fault:
        repaired = mended(payload)
        if repaired != payload:
            return _decode(repaired)
        raise UpstreamProtocolError(f"The provider sent a chunk that is not valid JSON: {fault}.") from fault


def _failure(name: bytes, payload: bytes, chunk: Chunk) -> StreamError | None:
    """The error that a frame reports, in whatever shape."""
    if chunk.error is not None and (failure := stream_error(chunk.error)) is not None:
        return failure
    if chunk.x_groq is not None and (failure := stream_error(chunk.x_groq.error)) is not None:
        return failure
    if chunk.choices is not None:
        return None
    if chunk.error_message is not None or chunk.base_resp is not None:
        return error_in(payload, is_surely_one=False)
    if not chunk.id:
        return error_in(payload, is_surely_one=name == b"error" or chunk.object == "error")
    return None
