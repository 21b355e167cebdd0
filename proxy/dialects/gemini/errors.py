"""Errors as Google words them: `{"error":{"code":429,"message":…,"status":"RESOURCE_EXHAUSTED","details":[…]}}`.

The same object answers a request, stands in a stream, or ends an array. How long to wait stands in its details, where
callers of this API look for it. Source: google.rpc.Status; google-genai 3.4.0 `errors.APIError`.
"""

from typing import Final

import msgspec

from proxy.hub.errors import HTTP_STATUS, ErrorKind, ProxyError
from proxy.hub.events import StreamError

STATUS: Final[dict[ErrorKind, str]] = {
    ErrorKind.INVALID_REQUEST: "INVALID_ARGUMENT",
    ErrorKind.CONTEXT_TOO_LONG: "INVALID_ARGUMENT",
    ErrorKind.CONTENT_REJECTED: "INVALID_ARGUMENT",
    ErrorKind.AUTHENTICATION: "UNAUTHENTICATED",
    ErrorKind.BILLING: "RESOURCE_EXHAUSTED",
    ErrorKind.PERMISSION: "PERMISSION_DENIED",
    ErrorKind.NOT_FOUND: "NOT_FOUND",
    ErrorKind.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    ErrorKind.CONFLICT: "ABORTED",
    ErrorKind.TOO_LARGE: "INVALID_ARGUMENT",
    ErrorKind.UNSUPPORTED_MEDIA: "INVALID_ARGUMENT",
    ErrorKind.REQUEST_TIMEOUT: "DEADLINE_EXCEEDED",
    ErrorKind.RATE_LIMIT: "RESOURCE_EXHAUSTED",
    ErrorKind.UPSTREAM_FAILED: "INTERNAL",
    ErrorKind.UNREACHABLE: "UNAVAILABLE",
    ErrorKind.OVERLOADED: "UNAVAILABLE",
    ErrorKind.TIMEOUT: "DEADLINE_EXCEEDED",
    ErrorKind.CUT: "INTERNAL",
    ErrorKind.PROTOCOL: "INTERNAL",
    ErrorKind.CALLER_TOO_SLOW: "DEADLINE_EXCEEDED",
    ErrorKind.DRAINED: "UNAVAILABLE",
    ErrorKind.KILLED: "UNAVAILABLE",
    ErrorKind.INTERNAL: "INTERNAL",
}

DOMAIN: Final = "llm-stream-proxy"
"""Whose `reason` it is."""


class _Detail(msgspec.Struct, frozen=True, omit_defaults=True, rename={"type": "@type"}):
    type: str
    retryDelay: str | None = None
    reason: str | None = None
    domain: str | None = None


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    status: str
    details: list[_Detail] = []


class _Body(msgspec.Struct, frozen=True):
    error: _Error


def status(error: ProxyError) -> int:
    """The HTTP status of an error answered before the stream began."""
    return HTTP_STATUS[error.kind]


def error_body(error: ProxyError) -> bytes:
    """The JSON body of an error answered before the stream began."""
    return _body(error.kind, error.message, error.code, error.retry_after_s)


def stream_error_body(error: StreamError) -> bytes:
    """The object that takes a response's place when a stream fails."""
    return _body(error.kind, error.message, error.code, None)


def _body(kind: ErrorKind, message: str, code: str | None, retry_after_s: float | None) -> bytes:
    details: list[_Detail] = []
    if code and code != STATUS[kind]:
        details.append(_Detail("type.googleapis.com/google.rpc.ErrorInfo", reason=code, domain=DOMAIN))
    if retry_after_s is not None:
        details.append(_Detail("type.googleapis.com/google.rpc.RetryInfo", retryDelay=f"{retry_after_s:g}s"))
    return msgspec.json.encode(_Body(_Error(HTTP_STATUS[kind], message, STATUS[kind], details)))
