"""The dialect `ui_message_stream`: `useChat` of the AI SDK, versions 5, 6 and 7.

Requests are read by `ui_request`, streams written by `ui_message_stream_encoder`. A caller with `"stream": false` gets
the message that the client would have put together from the stream:

    {"id": "msg_…", "role": "assistant", "metadata": {"model": …, "finishReason": "stop", "usage": {…}}, "parts": […]}
"""

from collections.abc import Mapping

from proxy.dialects.base import CallParams, Envelope, Operation, Route, StreamContext
from proxy.dialects.own_errors import error_body
from proxy.dialects.ui_message_stream_completion import encode_completion
from proxy.dialects.ui_message_stream_encoder import UiMessageStreamEncoder
from proxy.dialects.ui_request import ReadChatRequest, decode_envelope, decode_request
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import HTTP_STATUS, ProxyError
from proxy.hub.request import ChatRequest


class UiMessageStreamDialect:
    """See `dialects.base.Dialect`. `read_chat` reads the settings of a request."""

    name = "ui_message_stream"
    routes = (Route("POST", "/ui/chat"), Route("GET", "/ui/chat/{id}/stream", Operation.RESUME))
    content_type = "text/event-stream"
    stream_headers: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}
    takes_comments: bool = True
    request_id_header = "x-request-id"

    def __init__(self, read_chat: ReadChatRequest) -> None:
        self._read_chat = read_chat

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, self._read_chat)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return UiMessageStreamEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)
