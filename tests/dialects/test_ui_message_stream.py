import json

from proxy.dialects.base import CallParams, Operation, Route, StreamContext
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.dialects.ui_message_stream import UiMessageStreamDialect
from proxy.hub.errors import CallerError, ErrorKind

DIALECT = UiMessageStreamDialect(read_chat)


def test_routes_are_those_of_the_default_transport() -> None:
    assert DIALECT.routes == (
        Route("POST", "/ui/chat"),
        Route("GET", "/ui/chat/{id}/stream", Operation.RESUME),
    )
    assert DIALECT.stream_headers == {"x-vercel-ai-ui-message-stream": "v1"}


def test_body_of_the_transport_is_read() -> None:
    body = b'{"id":"c1","messages":[{"id":"u1","role":"user","parts":[{"type":"text","text":"hi"}]}],"trigger":"submit-message"}'

    envelope, chat = DIALECT.envelope(body, CallParams()), DIALECT.decode_request(body, CallParams())

    assert (envelope.model, envelope.stream, envelope.variant) == (None, True, "")
    assert (chat.stream, chat.extensions) == (True, {})
    assert DIALECT.encoder(StreamContext("i", "m", 1)).encode([]) == b""


def test_error_has_a_status_and_says_what_happened() -> None:
    error = CallerError(ErrorKind.RATE_LIMIT, "Slow down.", param="messages")

    assert DIALECT.status(error) == 429
    assert json.loads(DIALECT.encode_error(error, "r")) == {
        "error": {"type": "rate_limit", "message": "Slow down.", "retryable": True, "param": "messages"}
    }
