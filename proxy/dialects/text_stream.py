"""The dialect `text_stream`: the bare text of an answer, for the AI SDK's text protocol and for `curl`.

The stream is UTF-8 text and nothing else: TextStreamChatTransport of versions 5 to 7, `streamProtocol: "text"` of version
4. The words of a refusal are text too; reasoning, calls, sources and usage have no place. Neither has an error: it breaks
the connection, so that no client takes half an answer for a whole one. There is no heartbeat either.

Requests are read by `ui_request`. A caller with `"stream": false` gets `{"text": "…"}`.
"""

from collections.abc import Mapping

import msgspec

from proxy.dialects.base import CallParams, Envelope, Route, StreamContext
from proxy.dialects.own_errors import error_body
from proxy.dialects.ui_request import ReadChatRequest, decode_envelope, decode_request
from proxy.hub.codec import StreamEncoder
from proxy.hub.completion import Completion
from proxy.hub.errors import HTTP_STATUS, ProxyError
from proxy.hub.events import Event, RefusalBlock, RefusalDelta, TextBlock, TextDelta
from proxy.hub.request import ChatRequest


class TextStreamDialect:
    """See `dialects.base.Dialect`. `read_chat` reads the settings of a request."""

    name = "text_stream"
    routes = (Route("POST", "/ui/text/chat"),)
    content_type = "text/plain; charset=utf-8"
    stream_headers: Mapping[str, str] = {}
    request_id_header = "x-request-id"
    breaks_on_error = True

    def __init__(self, read_chat: ReadChatRequest) -> None:
        self._read_chat = read_chat

    def envelope(self, body: bytes, params: CallParams) -> Envelope:
        return decode_envelope(body)

    def decode_request(self, body: bytes, params: CallParams) -> ChatRequest:
        return decode_request(body, self._read_chat)

    def encoder(self, context: StreamContext) -> StreamEncoder:
        return TextStreamEncoder()

    def encode_completion(self, completion: Completion, context: StreamContext) -> bytes:
        texts = (done.text for done in completion.blocks if isinstance(done.block, TextBlock | RefusalBlock))
        return msgspec.json.encode({"text": "".join(texts)})

    def status(self, error: ProxyError) -> int:
        return HTTP_STATUS[error.kind]

    def encode_error(self, error: ProxyError, request_id: str) -> bytes:
        return error_body(error)


class TextStreamEncoder:
    """`StreamEncoder` of text and refusals. Characters stay whole: each delta is encoded by itself."""

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(_, text) | RefusalDelta(_, text):
                    out.append(text.encode("utf-8", "replace"))
                case _:
                    pass
        return b"".join(out)

    def heartbeat(self) -> bytes:
        return b""
