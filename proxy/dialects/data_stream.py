"""The dialect `data_stream`: `useChat` and `useCompletion` of the AI SDK, version 4 and earlier.

Requests are read by `ui_request`, streams written by `data_stream_encoder`. A caller with `"stream": false` gets the
message as the client keeps it: `{"id", "role", "content", "parts": […]}`, with `finishReason` and `usage`.
"""

from collections.abc import Mapping

from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.data_stream_completion import encode_completion
from proxy.dialects.data_stream_encoder import DataStreamEncoder
from proxy.dialects.own_errors import error_body
from proxy.dialects.ui_request import ReadChatRequest, decode_envelope, decode_request
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import HTTP_STATUS, ProxyError
from proxy.hub.request import ChatRequest


class DataStreamDialect:
    """See `dialects.base.Dialect`. `read_chat` reads the settings of a request."""

    name = "data_stream"
    routes = (Route("POST", "/ui/v4/chat"),)
    content_type = "text/plain; charset=utf-8"
    stream_headers: Mapping[str, str] = {"x-vercel-ai-data-stream": "v1"}
    request_id_header = "x-request-id"

    def __init__(self, read_chat: ReadChatRequest) -> None:
        self._read_chat = read_chat

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, self._read_chat)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return DataStreamEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)
