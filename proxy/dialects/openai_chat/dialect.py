"""The dialect `openai_chat`: callers of OpenAI's Chat Completions API.

Requests are read by `request`, streams written by `stream`, whole answers by `completion`.
Reference: platform.openai.com/docs/api-reference/chat; parsers of openai-python 3.54.0 and openai-node 7.57.0.
"""

from collections.abc import Mapping

from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.openai_chat.completion import encode_completion
from proxy.dialects.openai_chat.request import decode_envelope, decode_request
from proxy.dialects.openai_chat.stream import ChatEncoder
from proxy.dialects.openai_errors import error_body, error_status
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import ProxyError
from proxy.hub.request import ChatRequest


class OpenAIChatDialect:
    """See `dialects.base.Dialect`."""

    name = "openai_chat"
    routes = (
        Route("POST", "/v1/chat/completions"),
        Route("POST", "/openai/v1/chat/completions"),
        # Clients whose base URL lacks the version, or has it twice.
        Route("POST", "/chat/completions"),
        Route("POST", "/v1/v1/chat/completions"),
    )
    content_type = "text/event-stream; charset=utf-8"
    stream_headers: Mapping[str, str] = {}
    takes_comments: bool = True
    request_id_header = "x-request-id"

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return ChatEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return error_status(error)

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)
