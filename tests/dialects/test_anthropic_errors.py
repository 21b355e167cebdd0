import json

import anthropic
import pytest

from proxy.dialects.anthropic.dialect import AnthropicDialect
from proxy.dialects.anthropic.errors import ERROR_TYPE
from proxy.hub.errors import ErrorKind, ProxyError
from tests.support.anthropic_api import call, client

DIALECT = AnthropicDialect()

CLASSES: dict[ErrorKind, type[anthropic.APIStatusError]] = {
    ErrorKind.INVALID_REQUEST: anthropic.BadRequestError,
    ErrorKind.CONTEXT_TOO_LONG: anthropic.BadRequestError,
    ErrorKind.CONTENT_REJECTED: anthropic.BadRequestError,
    ErrorKind.AUTHENTICATION: anthropic.AuthenticationError,
    ErrorKind.PERMISSION: anthropic.PermissionDeniedError,
    ErrorKind.NOT_FOUND: anthropic.NotFoundError,
    ErrorKind.CONFLICT: anthropic.ConflictError,
    ErrorKind.RATE_LIMIT: anthropic.RateLimitError,
    ErrorKind.UPSTREAM_FAILED: anthropic.InternalServerError,
    ErrorKind.INTERNAL: anthropic.InternalServerError,
}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_is_an_error_that_the_sdk_understands(kind: ErrorKind) -> None:
    assert set(ERROR_TYPE) == set(ErrorKind)
    error = ProxyError(kind, "what happened")
    body = DIALECT.encode_error(error, "req_1")

    with pytest.raises(CLASSES.get(kind, anthropic.APIStatusError)) as caught:
        call(client(body, "application/json", DIALECT.status(error)).messages, "create")

    assert caught.value.body == {
        "type": "error",
        "error": {"type": ERROR_TYPE[kind], "message": "what happened"},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ErrorKind.OVERLOADED, 529),
        (ErrorKind.DRAINED, 529),
        (ErrorKind.TOO_LARGE, 413),
        (ErrorKind.BILLING, 402),
        (ErrorKind.TIMEOUT, 504),
        (ErrorKind.METHOD_NOT_ALLOWED, 405),
        (ErrorKind.CUT, 502),
    ],
)
def test_statuses(kind: ErrorKind, status: int) -> None:
    assert DIALECT.status(ProxyError(kind, "m")) == status


def test_a_token_count() -> None:
    assert json.loads(DIALECT.encode_token_count(7)) == {"input_tokens": 7}
