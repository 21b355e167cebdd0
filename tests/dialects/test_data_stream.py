import json

from proxy.dialects.base import CallParams, Route, StreamContext
from proxy.dialects.data_stream import DataStreamDialect
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.request import Message, Role, TextPart

DIALECT = DataStreamDialect(read_chat)


def test_route_and_headers_are_those_that_version_4_expects() -> None:
    assert DIALECT.routes == (Route("POST", "/ui/v4/chat"),)
    assert DIALECT.stream_headers == {"x-vercel-ai-data-stream": "v1"}
    assert DIALECT.content_type == "text/plain; charset=utf-8"


def test_body_of_use_chat_is_read() -> None:
    body = b'{"id":"c1","messages":[{"role":"user","content":"hi","parts":[{"type":"text","text":"hi"}]}]}'

    assert DIALECT.envelope(body, CallParams()).stream is True
    assert DIALECT.decode_request(body, CallParams()).messages == (Message(Role.USER, (TextPart("hi"),)),)
    assert DIALECT.encoder(StreamContext("i", "m", 1)).encode([]) == b""


def test_error_has_a_status_and_says_what_happened() -> None:
    error = CallerError(ErrorKind.INVALID_REQUEST, "No.")

    assert DIALECT.status(error) == 400
    assert json.loads(DIALECT.encode_error(error, "r"))["error"]["message"] == "No."
