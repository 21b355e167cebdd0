"""What routing and the server ask of the dialect: envelope, routes, errors before a stream began."""

import json
from typing import Any

import openai
import pytest

from proxy.dialects.base import CallParams, Envelope
from proxy.dialects.openai_chat.dialect import OpenAIChatDialect
from proxy.dialects.openai_errors import error_status
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError
from tests.support.openai_chat_api import MESSAGES, client

DIALECT = OpenAIChatDialect()
PARAMS = CallParams()
HI = [{"role": "user", "content": "hi"}]


# --- envelope


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m"}, Envelope("m", False)),
        ({}, Envelope(None, False)),
        ({"model": "", "stream": None}, Envelope(None, False)),
        ({"model": "m", "stream": True}, Envelope("m", True, include_usage=False)),
        ({"model": "m", "stream": True, "stream_options": {"include_usage": True}}, Envelope("m", True)),
        ({"model": "m", "functions": [{"name": "f"}]}, Envelope("m", False, variant="functions")),
        ({"model": "m", "functions": [{}], "tools": [{}]}, Envelope("m", False)),
    ],
)
def test_the_envelope_says_what_routing_needs(body: dict[str, Any], expected: Envelope) -> None:
    assert DIALECT.envelope(json.dumps({**body, "messages": HI}).encode(), PARAMS) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":7}', b'{"stream":"yes"}', b'{"model":"a","model":"b"}'])
def test_a_bad_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        DIALECT.envelope(body, PARAMS)


def test_routes_have_lenient_twins() -> None:
    assert {(route.method, route.path) for route in DIALECT.routes} == {
        ("POST", "/v1/chat/completions"),
        ("POST", "/openai/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("POST", "/v1/v1/chat/completions"),
    }


# --- errors with a status


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_error_makes_the_sdk_raise_by_its_status(kind: ErrorKind) -> None:
    error = UpstreamError(kind, "it broke", status=400, code="code_1")

    status = DIALECT.status(error)
    sdk = client(DIALECT.encode_error(error, "req_1"), status, "application/json")

    assert status == error_status(error)
    with pytest.raises(openai.APIStatusError, match="it broke") as fault:
        sdk.chat.completions.create(model="m", messages=MESSAGES)
    assert (fault.value.status_code, fault.value.code) == (status, "code_1")


def test_a_callers_fault_names_the_field() -> None:
    error = CallerError(ErrorKind.INVALID_REQUEST, "n: expected 1, got 2", param="n")

    assert json.loads(DIALECT.encode_error(error, "req_1")) == {
        "error": {"message": "n: expected 1, got 2", "type": "invalid_request_error", "param": "n", "code": None}
    }
