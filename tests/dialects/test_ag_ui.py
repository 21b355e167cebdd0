import json

from proxy.dialects.ag_ui import AgUiDialect
from proxy.dialects.base import CallParams, Route, StreamContext
from proxy.dialects.openai_chat.request import decode_request as read_chat
from proxy.hub.errors import CallerError, ErrorKind

DIALECT = AgUiDialect(read_chat)


def test_run_of_the_agent_is_read_and_repeated() -> None:
    body = (
        b'{"threadId":"t","runId":"r","protocolVersion":"1.0","state":{},"messages":[{"id":"u","role":"user",'
        b'"content":"hi"}],"tools":[],"context":[],"forwardedProps":{"model":"demo"}}'
    )

    envelope, chat = DIALECT.envelope(body, CallParams()), DIALECT.decode_request(body, CallParams())
    context = StreamContext("i", "m", 1, variant=envelope.variant)

    assert DIALECT.routes == (Route("POST", "/ag-ui"),)
    assert (envelope.model, envelope.stream, chat.model, chat.extensions) == ("demo", True, "demo", {})
    assert json.loads(envelope.variant) == {"threadId": "t", "runId": "r"}
    assert DIALECT.encoder(context).encode([]) == b""


def test_error_has_a_status_and_says_what_happened() -> None:
    error = CallerError(ErrorKind.INVALID_REQUEST, "No.")

    assert DIALECT.status(error) == 400
    assert json.loads(DIALECT.encode_error(error, "r"))["error"]["message"] == "No."
