"""What Gemini's refusals mean."""

import json
from typing import Any

import pytest

from proxy.hub.errors import ErrorKind
from proxy.providers.gemini.errors import MAX_MESSAGE_CHARS, decode_error
from proxy.providers.gemini.provider import Gemini
from tests.support.corpus import Recording, params, recordings


def error(code: int, status: str, message: str = "m", *details: dict[str, Any]) -> bytes:
    body = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return json.dumps(body).encode()


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def reason(word: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word, "domain": "googleapis.com"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, error(400, "INVALID_ARGUMENT"), ErrorKind.INVALID_REQUEST, "INVALID_ARGUMENT"),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")),
            ErrorKind.AUTHENTICATION,
            "API_KEY_INVALID",
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key expired. Renew it."),
            ErrorKind.AUTHENTICATION,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            error(
                400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."
            ),
            ErrorKind.CONTEXT_TOO_LONG,
            "INVALID_ARGUMENT",
        ),
        (401, error(401, "UNAUTHENTICATED"), ErrorKind.AUTHENTICATION, "UNAUTHENTICATED"),
        (403, error(403, "PERMISSION_DENIED"), ErrorKind.PERMISSION, "PERMISSION_DENIED"),
        (
            403,
            error(403, "PERMISSION_DENIED", "m", reason("BILLING_DISABLED")),
            ErrorKind.BILLING,
            "BILLING_DISABLED",
        ),
        (404, error(404, "NOT_FOUND"), ErrorKind.NOT_FOUND, "NOT_FOUND"),
        (429, error(429, "RESOURCE_EXHAUSTED"), ErrorKind.RATE_LIMIT, "RESOURCE_EXHAUSTED"),
        (499, error(499, "CANCELLED"), ErrorKind.UPSTREAM_FAILED, "CANCELLED"),
        (500, error(500, "INTERNAL"), ErrorKind.UPSTREAM_FAILED, "INTERNAL"),
        (503, error(503, "UNAVAILABLE"), ErrorKind.OVERLOADED, "UNAVAILABLE"),
        (504, error(504, "DEADLINE_EXCEEDED"), ErrorKind.TIMEOUT, "DEADLINE_EXCEEDED"),
        (418, error(418, "TEAPOT"), ErrorKind.INVALID_REQUEST, "TEAPOT"),
        (503, b"[" + error(503, "UNAVAILABLE") + b"]", ErrorKind.OVERLOADED, "UNAVAILABLE"),
        (429, b'{"error": "slow down"}', ErrorKind.RATE_LIMIT, None),
    ],
)
def test_errors_have_their_meaning(status: int, body: bytes, kind: ErrorKind, code: str | None) -> None:
    fault = decode_error(status, {}, body)

    assert (fault.kind, fault.status, fault.code) == (kind, status, code)


@pytest.mark.parametrize("recording", params(recordings(dialect="gemini", ok=False)))
def test_recorded_errors_keep_the_providers_words(recording: Recording) -> None:
    fault = Gemini().decode_error(recording.status, recording.headers, recording.response)

    assert fault.message == json.loads(recording.response)["error"]["message"]
    assert fault.kind in (ErrorKind.NOT_FOUND, ErrorKind.RATE_LIMIT)
    assert fault.retry_after_s == (48 if fault.kind is ErrorKind.RATE_LIMIT else None)


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([retry("17s")], {}, 17.0),
        ([retry("48.939935699s")], {}, 48.939935699),
        ([retry("3s")], {"retry-after": "9"}, 3.0),
        ([], {"Retry-After": "9"}, 9.0),
        ([retry("soon")], {}, None),
        ([retry("-1s")], {}, None),
        ([retry("nans")], {}, None),
        ([], {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ([], {}, None),
    ],
)
def test_how_long_to_wait(details: list[dict[str, Any]], headers: dict[str, str], seconds: float | None) -> None:
    assert decode_error(429, headers, error(429, "RESOURCE_EXHAUSTED", "m", *details)).retry_after_s == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>no</html>",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'{"error": 5}',
        b'{"error": null}',
        b"\xff\xfe",
        b"[" * 9999,
        b'{"error": {"code": {}, "message": []}}',
        b'{"error": {"details": 5, "message": "kept"}}',
    ],
    ids=range(12),
)
def test_unreadable_bodies_keep_the_statuss_meaning(body: bytes) -> None:
    fault = decode_error(503, {}, body)

    assert fault.kind is ErrorKind.OVERLOADED
    assert fault.message in ("The provider answered with status 503.", "kept")


def test_long_messages_are_shortened_and_headers_passed_on() -> None:
    fault = decode_error(429, {"X-RateLimit-Limit": "5", "set-cookie": "no"}, error(429, "X", "x" * 5000))

    assert len(fault.message) == MAX_MESSAGE_CHARS
    assert fault.headers == {"x-ratelimit-limit": "5"}
