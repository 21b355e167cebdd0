"""The dialect `canonical`: `data: {"text":"…"}` for a browser's own EventSource and for ten-line clients.

`canonical_request` says what may be asked, `canonical_stream` what is streamed. A caller with `"stream": false` gets

    {"id": "…", "model": "…", "text": "…", "tool_calls": [{"id", "name", "arguments"}], "usage": {…} or null,
     "finish_reason": "stop"}

with `reasoning`, `refusal`, `tool_call_results`, `citations`, `files`, `json` (the value, when JSON was asked for) and
`stop_sequence` where there is something to say. An error before the stream is

    {"error": {"type": "rate_limit", "message": "…", "retryable": true, "param"?: "messages[0].role"}}
"""

from collections.abc import Mapping

import msgspec

from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.canonical_request import ReadChatRequest, decode_envelope, decode_request
from proxy.dialects.canonical_stream import (
    CanonicalEncoder,
    call_fields,
    citation_fields,
    file_fields,
    is_json,
    result_fields,
    usage_fields,
    whole_arguments,
)
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import CompletedBlock, Completion
from proxy.hub.errors import HTTP_STATUS, RETRYABLE, ProxyError
from proxy.hub.events import MediaBlock, ReasoningBlock, RefusalBlock, TextBlock, ToolCallBlock, ToolResultBlock
from proxy.hub.request import ChatRequest


class CanonicalDialect:
    """See `dialects.base.Dialect`. `read_chat` reads what the request shares with Chat Completions."""

    name = "canonical"
    routes = (Route("POST", "/chat"), Route("GET", "/chat"))
    content_type = "text/event-stream"
    stream_headers: Mapping[str, str] = {}
    takes_comments: bool = True
    request_id_header = "x-request-id"

    def __init__(self, read_chat: ReadChatRequest) -> None:
        self._read_chat = read_chat

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body, params)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, params, self._read_chat)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return CanonicalEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return _encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        fields: dict[str, object] = {
            "type": error.kind.value,
            "message": error.message,
            "retryable": error.kind in RETRYABLE,
        }
        if error.param is not None:
            fields["param"] = error.param
        return msgspec.json.encode({"error": fields})


def _encode_completion(completion: Completion, context: StreamContext) -> bytes:
    whole = _Whole()
    for done in completion.blocks:
        whole.add(done)
    answer: dict[str, object] = {
        "id": context.id,
        "model": completion.model or context.model,
        "text": "".join(whole.texts),
        "tool_calls": whole.calls,
        **whole.rare_fields(),
    }
    if is_json(context) and (value := whole.json()) is not None:
        answer["json"] = value
    answer["usage"] = (usage_fields(completion.usage) or None) if completion.usage is not None else None
    answer["finish_reason"] = completion.end.reason.value if completion.end is not None else None
    if completion.end is not None and completion.end.stop_sequence is not None:
        answer["stop_sequence"] = completion.end.stop_sequence
    return msgspec.json.encode(answer)


class _Whole:
    """The blocks of an answer, sorted by what they are."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[dict[str, object]] = []
        self._reasoning: list[str] = []
        self._refusals: list[str] = []
        self._results: list[dict[str, object]] = []
        self._citations: list[dict[str, object]] = []
        self._files: list[dict[str, object]] = []

    def add(self, done: CompletedBlock) -> None:
        match done.block:
            case TextBlock():
                self.texts.append(done.text)
                self._citations.extend(map(citation_fields, done.citations))
            case ReasoningBlock():
                self._reasoning.append(done.text)
            case RefusalBlock():
                self._refusals.append(done.text)
            case ToolCallBlock() as block:
                self.calls.append({**call_fields(block), "arguments": whole_arguments(block, done.text)})
            case ToolResultBlock() as block:
                self._results.append(result_fields(block))
            case MediaBlock() as block:
                self._files.append(file_fields(block))
            case _:
                # Opaque reasoning: this dialect has no field to give it back in.
                pass

    def rare_fields(self) -> dict[str, object]:
        """Those that have something in them."""
        fields: dict[str, object] = {
            "reasoning": "".join(self._reasoning),
            "refusal": "".join(self._refusals),
            "tool_call_results": self._results,
            "citations": self._citations,
            "files": self._files,
        }
        return {name: value for name, value in fields.items() if value}

    def json(self) -> msgspec.Raw | None:
        """The last text that is JSON: what stands before it is talk."""
        for text in reversed(self.texts):
            try:
                return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
            except (msgspec.DecodeError, RecursionError):
                continue
        return None
