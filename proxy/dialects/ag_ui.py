"""The dialect `ag_ui`: agents' user interfaces that speak AG-UI 1.0, by `HttpAgent` of @ag-ui/client.

Requests are read by `ag_ui_request`, streams written by `ag_ui_stream`. A caller whose `forwardedProps` hold
`"stream": false` gets

    {"threadId": …, "runId": …, "messages": […], "result": {"finishReason": "stop"}, "usage": [{…}]}

where `messages` are those that the client would have put together from the stream.
"""

from collections.abc import Mapping

from proxy.dialects.ag_ui_completion import encode_completion
from proxy.dialects.ag_ui_request import decode_envelope, decode_request
from proxy.dialects.ag_ui_stream import AgUiEncoder
from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.own_errors import error_body
from proxy.dialects.ui_request import ReadChatRequest
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import HTTP_STATUS, ProxyError
from proxy.hub.request import ChatRequest


class AgUiDialect:
    """See `dialects.base.Dialect`. `read_chat` reads the settings of a request."""

    name = "ag_ui"
    routes = (Route("POST", "/ag-ui"),)
    content_type = "text/event-stream"
    stream_headers: Mapping[str, str] = {}
    takes_comments: bool = True
    request_id_header = "x-request-id"

    def __init__(self, read_chat: ReadChatRequest) -> None:
        self._read_chat = read_chat

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, self._read_chat)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return AgUiEncoder(context)

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        return encode_completion(completion, context)

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)
