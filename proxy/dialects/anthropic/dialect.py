"""The dialect `anthropic`: callers of Anthropic's Messages API (the official SDKs, Claude Code).

Requests are read by `request`, streams written by `stream`, whole answers by `completion`.
Reference: docs.anthropic.com/en/api/messages; parsers of anthropic-sdk-python 2.12 and @anthropic-ai/sdk 1.12.
"""

from collections.abc import Mapping

import msgspec

from proxy.dialects.anthropic.completion import encode_completion
from proxy.dialects.anthropic.errors import error_body, status_of
from proxy.dialects.anthropic.request import decode_envelope, decode_request
from proxy.dialects.anthropic.stream import AnthropicEncoder
from proxy.dialects.base import CallParams, Envelope, Operation, Route, StreamContext
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import ProxyError
from proxy.hub.request import ChatRequest

PATHS = (
    "/v1/messages",
    "/anthropic/v1/messages",
    # Clients whose base URL lacks the version, or has it twice.
    "/messages",
    "/v1/v1/messages",
)


class AnthropicDialect:
    """See `dialects.base.Dialect`."""

    name = "anthropic"
    routes = (
        *(Route("POST", path) for path in PATHS),
        *(Route("POST", f"{path}/count_tokens", Operation.COUNT_TOKENS) for path in PATHS),
    )
    content_type = "text/event-stream; charset=utf-8"
    stream_headers: Mapping[str, str] = {}
    takes_comments: bool = True
    request_id_header = "request-id"

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, params.headers)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return AnthropicEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def encode_token_count(self, count: int) -> bytes:
        return msgspec.json.encode({"input_tokens": count})

    def status(self, error: ProxyError) -> int:
        return status_of(error)

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error.kind, error.message, request_id)
