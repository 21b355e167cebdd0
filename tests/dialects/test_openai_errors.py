import msgspec
import pytest

from proxy.dialects.openai_errors import ERROR_WORDS, error_body, error_status
from proxy.hub.errors import CallerError, ErrorKind, UpstreamError


def test_every_kind_has_words() -> None:
    assert set(ERROR_WORDS) == set(ErrorKind)


def test_the_body_names_the_field_and_the_providers_own_code() -> None:
    error = UpstreamError(
        ErrorKind.INVALID_REQUEST, "too many", status=400, param="input[2]", code="array_above_max_length"
    )

    assert msgspec.json.decode(error_body(error)) == {
        "error": {
            "message": "too many",
            "type": "invalid_request_error",
            "param": "input[2]",
            "code": "array_above_max_length",
        }
    }


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (ErrorKind.BILLING, 429, "insufficient_quota"),
        (ErrorKind.RATE_LIMIT, 429, "rate_limit_exceeded"),
        (ErrorKind.AUTHENTICATION, 401, "invalid_api_key"),
        (ErrorKind.OVERLOADED, 503, "server_is_overloaded"),
        (ErrorKind.CONTEXT_TOO_LONG, 400, "context_length_exceeded"),
    ],
)
def test_an_error_without_a_code_gets_openais_word(kind: ErrorKind, status: int, code: str) -> None:
    error = CallerError(kind, "no")

    assert error_status(error) == status
    assert msgspec.json.decode(error_body(error))["error"]["code"] == code
