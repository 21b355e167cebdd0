"""The dialect `openai_responses`: callers of OpenAI's Responses API (the openai SDKs, the AI SDK, Codex).

Reference: platform.openai.com/docs/api-reference/responses; types of openai-python 3.54.0. Requests are read by
`request`, streams written by `stream`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.dialects.base import CallParams, Envelope, Operation, Route, StreamContext
from proxy.dialects.json_body import read_body
from proxy.dialects.openai_errors import error_body, error_status
from proxy.dialects.openai_responses.request import decode_request
from proxy.dialects.openai_responses.stream import ResponsesEncoder
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion, unfold
from proxy.hub.errors import ProxyError
from proxy.hub.request import ChatRequest

PREFIXES: Final = ("/v1", "/openai/v1", "", "/v1/v1")
"""The last two are base URLs with `/v1` left out or given twice."""


class _Envelope(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)


class OpenAIResponsesDialect:
    """See `dialects.base.Dialect`."""

    name = "openai_responses"
    routes = (
        *(Route("POST", f"{prefix}/responses") for prefix in PREFIXES),
        *(Route("POST", f"{prefix}/responses/input_tokens", Operation.COUNT_TOKENS) for prefix in PREFIXES),
    )
    content_type = "text/event-stream; charset=utf-8"
    stream_headers: Mapping[str, str] = {}
    takes_comments: bool = True
    request_id_header = "x-request-id"

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        found = read_body(_ENVELOPE, body)
        return Envelope(found.model or None, bool(found.stream))

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return ResponsesEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        """The response object that would end the stream of the same answer."""
        encoder = ResponsesEncoder(context)
        encoder.encode(unfold(completion))
        return encoder.final_response

    def encode_token_count(self, count: int) -> bytes:
        return b'{"object":"response.input_tokens","input_tokens":%d}' % count

    def status(self, error: ProxyError) -> int:
        return error_status(error)

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)
