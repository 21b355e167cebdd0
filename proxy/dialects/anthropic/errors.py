"""Errors in Anthropic's words. Spec: docs.anthropic.com/en/api/errors."""

import msgspec

from proxy.hub.errors import HTTP_STATUS, ErrorKind, ProxyError

ERROR_TYPE: dict[ErrorKind, str] = {
    ErrorKind.INVALID_REQUEST: "invalid_request_error",
    ErrorKind.CONTEXT_TOO_LONG: "invalid_request_error",
    ErrorKind.CONTENT_REJECTED: "invalid_request_error",
    ErrorKind.AUTHENTICATION: "authentication_error",
    ErrorKind.BILLING: "billing_error",
    ErrorKind.PERMISSION: "permission_error",
    ErrorKind.NOT_FOUND: "not_found_error",
    ErrorKind.METHOD_NOT_ALLOWED: "invalid_request_error",
    ErrorKind.CONFLICT: "conflict_error",
    ErrorKind.TOO_LARGE: "request_too_large",
    ErrorKind.UNSUPPORTED_MEDIA: "invalid_request_error",
    ErrorKind.REQUEST_TIMEOUT: "timeout_error",
    ErrorKind.RATE_LIMIT: "rate_limit_error",
    ErrorKind.UPSTREAM_FAILED: "api_error",
    ErrorKind.UNREACHABLE: "api_error",
    ErrorKind.OVERLOADED: "overloaded_error",
    ErrorKind.TIMEOUT: "timeout_error",
    ErrorKind.CUT: "api_error",
    ErrorKind.PROTOCOL: "api_error",
    ErrorKind.CALLER_TOO_SLOW: "timeout_error",
    ErrorKind.DRAINED: "overloaded_error",
    ErrorKind.KILLED: "overloaded_error",
    ErrorKind.INTERNAL: "api_error",
}

STATUS: dict[ErrorKind, int] = {
    ErrorKind.OVERLOADED: 529,
    ErrorKind.DRAINED: 529,
    ErrorKind.KILLED: 529,
}
"""Where Anthropic's status is its own; every other kind has that of `HTTP_STATUS`."""


def status_of(error: ProxyError) -> int:
    """The HTTP status that goes with the error."""
    return STATUS.get(error.kind, HTTP_STATUS[error.kind])


def error_body(kind: ErrorKind, message: str, request_id: str | None = None) -> bytes:
    """The error object: the body of a status, or the data of an `error` event."""
    body: dict[str, object] = {"type": "error", "error": {"type": ERROR_TYPE[kind], "message": message}}
    if request_id is not None:
        body["request_id"] = request_id
    return msgspec.json.encode(body)
