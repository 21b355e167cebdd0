"""Reads an answer of Ollama's `/api/chat` (and `/api/generate`, for callers who speak this API).

    {"message":{"content":"Hel"},"done":false}                                a piece of text, of thinking, or calls
    {"message":{…},"done":true,"done_reason":"stop","eval_count":7,…}         the last line: reason and usage

* A call comes whole: its arguments are an object, and it has an id only from newer servers. Others get one made of the
  call's number and the answer's time, so that it is not met again in the next turn.
* `done_reason` says `stop` to tool calls as well: their presence tells.
* A fault in the middle is a line `{"error":"…"}`.
* A whole answer (`stream: false`) is the one line that has everything.

Source: ollama `docs/api.md` and `api/types.go` (read 2026-11); ollama-python 0.6.3.
"""

import msgspec

from proxy.framing.ndjson import NdjsonFramer
from proxy.hub.completion import Completion, fold
from proxy.hub.errors import ErrorKind, UpstreamError, UpstreamProtocolError
from proxy.hub.events import (
    ArgumentsDelta,
    Event,
    FinishReason,
    MessageEnd,
    MessageStart,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    Usage,
)
from proxy.hub.json_text import mended
from proxy.hub.transcode import CUT_MESSAGE
from proxy.providers.base import Target
from proxy.providers.blocks import REASONING, TEXT, BlockTracker
from proxy.providers.custom_tools import Unwrapper
from proxy.providers.ollama.errors import stream_error

FINISH_REASON: dict[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "load": FinishReason.OTHER,
    "unload": FinishReason.OTHER,
}
"""`done_reason`. `load` and `unload` answer requests without messages. Unknown words: OTHER, the word kept."""

_ABSENT = msgspec.Raw(b"")
_NOTHING = frozenset({b"", b"null", b'""', b"{}", b"false"})


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = _ABSENT


class _ToolCall(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Chunk(msgspec.Struct, gc=False):
    model: str | None = None
    created_at: str | None = None
    message: _Message | None = None
    response: str | None = None
    """The text, from `/api/generate`."""
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: msgspec.Raw = _ABSENT


_CHUNK = msgspec.json.Decoder(_Chunk)
_TEXT = msgspec.json.Decoder(str)


class OllamaDecoder:
    """Decodes one stream. See `hub.codec.StreamDecoder`."""

    def __init__(self, target: Target) -> None:
        self._framer = NdjsonFramer(target.max_frame_bytes)
        self._answer = _Answer(target)
        self._fault: UpstreamProtocolError | None = None
        """A fault that came behind good lines in one read: they go first, it is raised at the next call."""

    def feed(self, data: bytes) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        answer = self._answer
        if answer.is_ended:
            return out
        try:
            for line in self._framer.feed(data):
                answer.take(_chunk(line), out)
        except UpstreamProtocolError as fault:
            if not out:
                raise
            self._fault = None if answer.is_ended else fault
        return out

    def finish(self) -> list[Event]:
        if self._fault is not None:
            raise self._fault
        out: list[Event] = []
        answer = self._answer
        rest = self._framer.finish()
        if rest is not None and not answer.is_ended:
            try:
                answer.take(_chunk(rest), out)
            except UpstreamProtocolError:
                out.clear()
        if not answer.is_ended:
            out.append(StreamError(ErrorKind.CUT, CUT_MESSAGE))
        return out


class _Answer:
    """The state of one answer."""

    def __init__(self, target: Target) -> None:
        self.is_ended = False
        self._is_started = False
        self._custom_tools = target.custom_tools
        self._blocks = BlockTracker()
        self._call_ids: set[str] = set()
        self._id_tail = ""

    def take(self, chunk: _Chunk, out: list[Event]) -> None:
        """The events of one line. Nothing is read after the ending."""
        if self.is_ended:
            return
        if bytes(chunk.error) not in _NOTHING:
            self.is_ended = True
            out.append(stream_error(chunk.error))
            return
        message = chunk.message
        if not self._is_started:
            if message is None and chunk.response is None and not chunk.done:
                return
            self._start(chunk, out)
        blocks = self._blocks
        if message is None:
            message = _Message(chunk.response, chunk.thinking)
        if message.thinking:
            index = blocks.index if blocks.content is REASONING else blocks.ensure(REASONING, out)
            out.append(ReasoningDelta(index, message.thinking))
        if message.content:
            index = blocks.index if blocks.content is TEXT else blocks.ensure(TEXT, out)
            out.append(TextDelta(index, message.content))
        if message.tool_calls:
            for call in message.tool_calls:
                self._add_call(call, out)
        if chunk.done:
            self.end(chunk, out)

    def _start(self, chunk: _Chunk, out: list[Event]) -> None:
        self._is_started = True
        time = chunk.created_at or ""
        self._id_tail = "".join(char for char in time if char.isascii() and char.isdigit())[2:20]
        out.append(MessageStart("", chunk.model or ""))

    def end(self, chunk: _Chunk, out: list[Event]) -> None:
        """The success terminator, with the usage before it."""
        self.is_ended = True
        self._blocks.end_all(out)
        if chunk.prompt_eval_count is not None or chunk.eval_count is not None:
            out.append(Usage(input=chunk.prompt_eval_count, output=chunk.eval_count))
        word = chunk.done_reason or None
        reason = FinishReason.OTHER if word is None else FINISH_REASON.get(word, FinishReason.OTHER)
        if self._call_ids and (word is None or reason is FinishReason.STOP):
            reason = FinishReason.TOOL_CALLS
        out.append(MessageEnd(reason, word))

    def _add_call(self, call: _ToolCall, out: list[Event]) -> None:
        function = call.function
        if function is None or not function.name:
            raise UpstreamProtocolError("The provider sent a tool call without a name.")
        is_custom = function.name in self._custom_tools
        kind = ToolKind.CUSTOM if is_custom else ToolKind.FUNCTION
        block = ToolCallBlock(self._call_id(call), function.name, kind)
        index = self._blocks.hold(block, out)
        arguments = _arguments(function.arguments)
        if is_custom:
            unwrapper = Unwrapper()
            arguments = unwrapper.feed(arguments) + unwrapper.finish()
        if arguments:
            out.append(ArgumentsDelta(index, arguments))
        self._blocks.end(index, out)

    def _call_id(self, call: _ToolCall) -> str:
        """The call's own id, unless another call of the answer has it already."""
        id = call.id
        if not id or id in self._call_ids:
            number = len(self._call_ids)
            id = f"call_{number}_{self._id_tail}" if self._id_tail else f"call_{number}"
        self._call_ids.add(id)
        return id


def decode_completion(body: bytes, target: Target) -> Completion:
    """A whole answer. Raises UpstreamError for an error object, UpstreamProtocolError for anything that is no answer."""
    chunk = _chunk(body)
    out: list[Event] = []
    answer = _Answer(target)
    answer.take(chunk, out)
    if out and isinstance(fault := out[-1], StreamError):
        raise UpstreamError(fault.kind, fault.message, status=200, code=fault.code)
    if not out:
        raise UpstreamProtocolError("The provider's answer is not a message.")
    if not answer.is_ended:
        # JSON that is whole is an answer that is whole.
        answer.end(chunk, out)
    return fold(out)


def _chunk(line: bytes) -> _Chunk:
    try:
        return _CHUNK.decode(line)
    except (ValueError, RecursionError) as fault:
        repaired = mended(line)
        if repaired == line:
            raise UpstreamProtocolError(f"The provider sent a line that is no object of its API: {fault}") from fault
    return _chunk(repaired)


def _arguments(raw: msgspec.Raw) -> str:
    """The arguments' JSON text: the object as it came, or the text that some servers put in its place."""
    json = bytes(raw)
    if json in (b"", b"null", b'""'):
        return "{}"
    if json[:1] == b'"':
        return _TEXT.decode(mended(json))  # what is kept raw was not checked for malformed UTF-8
    return json.decode("utf-8", "replace")
