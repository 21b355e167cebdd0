"""Errors as OpenAI words them, for both of its APIs: the body, the status, and the words of each kind.

    {"error": {"message": "…", "type": "invalid_request_error", "param": "input[2].content", "code": null}}

Source: platform.openai.com/docs/guides/error-codes, and the exception classes of openai-python 3.54.0, which go by status.
"""

from typing import Final

import msgspec

from proxy.hub.errors import HTTP_STATUS, ErrorKind, ProxyError


class ErrorWords(msgspec.Struct, frozen=True):
    """What stands in `type`, and in `code` where the provider gave none."""

    type: str
    code: str | None = None


_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"

ERROR_WORDS: Final[dict[ErrorKind, ErrorWords]] = {
    ErrorKind.INVALID_REQUEST: ErrorWords(_INVALID),
    ErrorKind.CONTEXT_TOO_LONG: ErrorWords(_INVALID, "context_length_exceeded"),
    ErrorKind.CONTENT_REJECTED: ErrorWords(_INVALID, "content_policy_violation"),
    ErrorKind.AUTHENTICATION: ErrorWords(_INVALID, "invalid_api_key"),
    ErrorKind.BILLING: ErrorWords("insufficient_quota", "insufficient_quota"),
    ErrorKind.PERMISSION: ErrorWords("permission_error"),
    ErrorKind.NOT_FOUND: ErrorWords(_INVALID, "model_not_found"),
    ErrorKind.METHOD_NOT_ALLOWED: ErrorWords(_INVALID, "method_not_allowed"),
    ErrorKind.CONFLICT: ErrorWords("conflict"),
    ErrorKind.TOO_LARGE: ErrorWords(_INVALID, "request_too_large"),
    ErrorKind.UNSUPPORTED_MEDIA: ErrorWords(_INVALID, "unsupported_media_type"),
    ErrorKind.REQUEST_TIMEOUT: ErrorWords(_INVALID, "request_timeout"),
    ErrorKind.RATE_LIMIT: ErrorWords("rate_limit_error", "rate_limit_exceeded"),
    ErrorKind.UPSTREAM_FAILED: ErrorWords(_SERVER, _SERVER),
    ErrorKind.UNREACHABLE: ErrorWords(_SERVER, _SERVER),
    ErrorKind.OVERLOADED: ErrorWords("service_unavailable_error", "server_is_overloaded"),
    ErrorKind.TIMEOUT: ErrorWords(_SERVER, "timeout"),
    ErrorKind.CUT: ErrorWords(_SERVER, _SERVER),
    ErrorKind.PROTOCOL: ErrorWords(_SERVER, _SERVER),
    ErrorKind.CALLER_TOO_SLOW: ErrorWords(_INVALID, "request_timeout"),
    ErrorKind.DRAINED: ErrorWords("service_unavailable_error", "server_is_overloaded"),
    ErrorKind.KILLED: ErrorWords(_SERVER, _SERVER),
    ErrorKind.INTERNAL: ErrorWords(_SERVER, _SERVER),
}


class ErrorObject(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct, frozen=True):
    error: ErrorObject


def error_object(kind: ErrorKind, message: str, code: str | None, param: str | None = None) -> ErrorObject:
    """The `error` object; `code` is the provider's own, and stands before ours."""
    words = ERROR_WORDS[kind]
    return ErrorObject(message, words.type, param, code if code is not None else words.code)


def error_status(error: ProxyError) -> int:
    """The HTTP status. OpenAI answers 429, not 402, to an account without credit."""
    return 429 if error.kind is ErrorKind.BILLING else HTTP_STATUS[error.kind]


def error_body(error: ProxyError) -> bytes:
    """The JSON body of an error answered before the stream began."""
    return msgspec.json.encode(_Body(error_object(error.kind, error.message, error.code, error.param)))
