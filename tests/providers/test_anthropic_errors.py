"""What an error status of Anthropic's means, and what of it a caller may see."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.errors import ErrorKind
from proxy.providers.anthropic.errors import ERROR_KIND, decode_error
from tests.support.anthropic_api import needs_recordings, recorded_answers


def body(type: str, message: str = "m") -> bytes:
    return json.dumps({"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}).encode()


@needs_recordings
def test_recorded_errors_keep_their_message_and_get_their_kind() -> None:
    kinds = {}
    for answer in recorded_answers(ok=False):
        error = decode_error(answer.status, answer.headers, answer.response)
        kinds[error.kind] = error.message
        assert error.status == answer.status

    assert kinds == {
        ErrorKind.AUTHENTICATION: "invalid x-api-key",
        ErrorKind.CONTEXT_TOO_LONG: "prompt is too long: 3333404 tokens > 200000 maximum",
    }


@pytest.mark.parametrize(("word", "kind"), ERROR_KIND.items())
def test_every_error_type_has_its_kind_and_is_the_code(word: str, kind: ErrorKind) -> None:
    error = decode_error(400, {}, body(word))

    assert (error.kind, error.code) == (kind, word)


@pytest.mark.parametrize(
    ("status", "type", "message", "kind"),
    [
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", ErrorKind.BILLING),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit",
            ErrorKind.CONTEXT_TOO_LONG,
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ErrorKind.CONTENT_REJECTED),
        (400, "BadRequestError", "This model's maximum context length is 8 tokens", ErrorKind.CONTEXT_TOO_LONG),
        (400, "x", "the request exceeds the available context size", ErrorKind.CONTEXT_TOO_LONG),
        (413, "invalid_request_error", "m", ErrorKind.TOO_LARGE),
        (422, "invalid_request_error", "m", ErrorKind.INVALID_REQUEST),
        (529, "brand_new_error", "m", ErrorKind.OVERLOADED),
        (418, "brand_new_error", "m", ErrorKind.INVALID_REQUEST),
        (500, "overloaded_error", "m", ErrorKind.OVERLOADED),
    ],
)
def test_words_and_status_decide_where_the_type_does_not(status: int, type: str, message: str, kind: ErrorKind) -> None:
    error = decode_error(status, {}, body(type, message))

    assert (error.kind, error.message, error.status) == (kind, message, status)


@pytest.mark.parametrize(
    "foreign", [b'{"message":"no entry"}', b'{"detail":"no entry"}', b'{"code":401,"msg":"no entry","success":false}']
)
def test_the_words_of_others_who_speak_the_api_are_kept(foreign: bytes) -> None:
    error = decode_error(401, {}, foreign)

    assert (error.kind, error.message) == (ErrorKind.AUTHENTICATION, "no entry")


@pytest.mark.parametrize("unreadable", [b"", b"<html>secret</html>", b"[]", b'{"error":7}', b"\xff", b"[" * 9999])
def test_an_unreadable_body_keeps_the_meaning_of_its_status_and_is_not_shown(unreadable: bytes) -> None:
    error = decode_error(503, {}, unreadable)

    assert (error.kind, error.message, error.code) == (
        ErrorKind.OVERLOADED,
        "The provider answered with status 503.",
        None,
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("31", 31.0), ("1.5", 1.5), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None), ("-1", None), ("nan", None)],
)
def test_retry_after_is_read_in_seconds(text: str, seconds: float | None) -> None:
    assert decode_error(429, {"Retry-After": text}, body("rate_limit_error")).retry_after_s == seconds


def test_rate_limit_headers_are_passed_on_and_others_are_not() -> None:
    headers = {
        "Anthropic-Ratelimit-Tokens-Reset": "2026-02-17T19:30:51Z",
        "x-should-retry": "true",
        "anthropic-organization-id": "org",
        "set-cookie": "secret",
    }

    assert decode_error(429, headers, body("rate_limit_error")).headers == {
        "anthropic-ratelimit-tokens-reset": "2026-02-17T19:30:51Z",
        "x-should-retry": "true",
    }


@given(st.integers(400, 599), st.binary(max_size=60), st.text(max_size=10))
def test_it_never_raises(status: int, junk: bytes, text: str) -> None:
    decode_error(status, {"retry-after": text}, junk)
