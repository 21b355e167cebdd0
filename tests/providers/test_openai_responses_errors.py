import pytest

from proxy.hub.errors import ErrorKind
from proxy.providers.openai_responses.errors import MAX_MESSAGE_CHARS, Fault, fault_of
from proxy.providers.openai_responses.provider import OpenAIResponses
from tests.support.corpus import Recording, params, recordings

PROVIDER = OpenAIResponses()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            b'{"error":{"message":"no","type":"invalid_request_error","param":"input[0]","code":"array_too_long"}}',
            Fault(ErrorKind.NOT_FOUND, "no", "array_too_long", "input[0]"),
        ),
        (
            b'{"error":{"message":"long","type":"invalid_request_error","code":"context_length_exceeded"}}',
            Fault(ErrorKind.CONTEXT_TOO_LONG, "long", "context_length_exceeded"),
        ),
        (b'{"error":{"message":"no","type":"rate_limit_error"}}', Fault(ErrorKind.RATE_LIMIT, "no")),
        (b'{"error":{"message":"busy","code":503}}', Fault(ErrorKind.OVERLOADED, "busy", "503")),
        (b'{"error":{"message":"odd","code":7}}', Fault(ErrorKind.NOT_FOUND, "odd", "7")),
        (b'{"code":"invalid-argument","error":"Bad key"}', Fault(ErrorKind.NOT_FOUND, "Bad key", "invalid-argument")),
        (b'{"message":"bare","type":"server_error"}', Fault(ErrorKind.UPSTREAM_FAILED, "bare")),
        (b'{"detail":"Not here"}', Fault(ErrorKind.NOT_FOUND, "Not here")),
        (b'{"detail":{"message":"deeper"}}', Fault(ErrorKind.NOT_FOUND, "deeper")),
        # vLLM, llama.cpp
        (
            b'{"error":{"message":"maximum context length is 8","type":"BadRequestError","code":400}}',
            Fault(ErrorKind.CONTEXT_TOO_LONG, "maximum context length is 8", "400"),
        ),
        (b'"text"', Fault(ErrorKind.NOT_FOUND, "text")),
        (b'{"error":{"message":"no","param":{"deep":1}}}', Fault(ErrorKind.NOT_FOUND, "no")),
        (b'{"error":null}', Fault(ErrorKind.NOT_FOUND, "")),
        (b"<html>Bad gateway</html>", Fault(ErrorKind.NOT_FOUND, "")),
        (b"", Fault(ErrorKind.NOT_FOUND, "")),
        (b"\xff\xfe", Fault(ErrorKind.NOT_FOUND, "")),
        (b'{"error":' * 5000, Fault(ErrorKind.NOT_FOUND, "")),
        (b'{"error":' * 50 + b'"deep"' + b"}" * 50, Fault(ErrorKind.NOT_FOUND, "deep")),
    ],
)
def test_an_error_is_read_in_every_shape(body: bytes, fault: Fault) -> None:
    assert fault_of(body, ErrorKind.NOT_FOUND) == fault


def test_a_long_message_is_cut() -> None:
    body = b'{"error":{"message":"' + b"x" * 5000 + b'"}}'

    assert len(fault_of(body, ErrorKind.INTERNAL).message) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize("recording", params(recordings(kind="openai_responses", ok=False)))
def test_recorded_errors_keep_their_words(recording: Recording) -> None:
    error = PROVIDER.decode_error(recording.status, recording.headers, recording.response)

    assert error.status == recording.status
    assert error.message.startswith("Incorrect API key provided")
    assert error.kind in (ErrorKind.AUTHENTICATION, ErrorKind.INVALID_REQUEST)
    assert error.code in ("invalid_api_key", "invalid-argument")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.INVALID_REQUEST),
        (401, ErrorKind.AUTHENTICATION),
        (429, ErrorKind.RATE_LIMIT),
        (500, ErrorKind.UPSTREAM_FAILED),
        (503, ErrorKind.OVERLOADED),
        (418, ErrorKind.INVALID_REQUEST),
    ],
)
def test_an_unreadable_body_keeps_the_meaning_of_the_status(status: int, kind: ErrorKind) -> None:
    error = PROVIDER.decode_error(status, {}, b"<html>secret</html>")

    assert (error.kind, error.message) == (kind, f"The provider answered with status {status}.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert PROVIDER.decode_error(429, headers, b"{}").retry_after_s == seconds


def test_limits_are_passed_on_and_nothing_else() -> None:
    headers = {"retry-after": "7", "x-ratelimit-remaining-tokens": "0", "set-cookie": "a", "openai-organization": "o"}

    error = PROVIDER.decode_error(429, headers, b"{}")

    assert error.headers == {"retry-after": "7", "x-ratelimit-remaining-tokens": "0"}
