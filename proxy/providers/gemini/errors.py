"""What Gemini's errors mean: `{"error":{"code":429,"message":…,"status":"RESOURCE_EXHAUSTED","details":[…]}}`.

The same object is the body of a status, the one element of an array (streams without `alt=sse`), or an event in a
stream. How long to wait stands in the details (`google.rpc.RetryInfo`), hardly ever in a header.

Source: google.rpc.Status and google.rpc.error_details; recordings model-not-found and real-error-scenarios.
"""

import math
import re
from collections.abc import Mapping

import msgspec

from proxy.hub.errors import ErrorKind, UpstreamError, kind_of_status
from proxy.hub.events import StreamError
from proxy.hub.json_text import mended

MAX_MESSAGE_CHARS = 2000

ERROR_KIND: dict[str, ErrorKind] = {
    "INVALID_ARGUMENT": ErrorKind.INVALID_REQUEST,
    "FAILED_PRECONDITION": ErrorKind.INVALID_REQUEST,
    "OUT_OF_RANGE": ErrorKind.INVALID_REQUEST,
    "UNAUTHENTICATED": ErrorKind.AUTHENTICATION,
    "PERMISSION_DENIED": ErrorKind.PERMISSION,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "ABORTED": ErrorKind.CONFLICT,
    "ALREADY_EXISTS": ErrorKind.CONFLICT,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMIT,
    "CANCELLED": ErrorKind.UPSTREAM_FAILED,
    "UNKNOWN": ErrorKind.UPSTREAM_FAILED,
    "INTERNAL": ErrorKind.UPSTREAM_FAILED,
    "DATA_LOSS": ErrorKind.UPSTREAM_FAILED,
    "UNIMPLEMENTED": ErrorKind.NOT_FOUND,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
}
"""`status`, a name of google.rpc.Code. Unknown ones: what the code means as an HTTP status."""

KIND_BY_REASON: dict[str, ErrorKind] = {
    "API_KEY_INVALID": ErrorKind.AUTHENTICATION,
    "API_KEY_SERVICE_BLOCKED": ErrorKind.PERMISSION,
    "ACCESS_TOKEN_EXPIRED": ErrorKind.AUTHENTICATION,
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": ErrorKind.AUTHENTICATION,
    "CREDENTIALS_MISSING": ErrorKind.AUTHENTICATION,
    "BILLING_DISABLED": ErrorKind.BILLING,
    "RATE_LIMIT_EXCEEDED": ErrorKind.RATE_LIMIT,
}
"""`reason` of a `google.rpc.ErrorInfo`; it says more than the status, which for a bad key is INVALID_ARGUMENT."""

KIND_BY_TEXT: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (re.compile(r"api key (?:not valid|expired)", re.IGNORECASE), ErrorKind.AUTHENTICATION),
    (re.compile(r"token count.{0,60}exceeds the maximum", re.IGNORECASE | re.DOTALL), ErrorKind.CONTEXT_TOO_LONG),
)
"""What INVALID_ARGUMENT says only in words."""

PASSED_HEADERS = ("x-ratelimit-", "retry-after")
"""Beginnings of the names of response headers that a caller may use."""

DEFAULT_MESSAGE = "The provider reported an error."

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


class _Detail(msgspec.Struct, gc=False, rename={"type": "@type"}):
    type: str | None = None
    retryDelay: str | None = None
    reason: str | None = None


class _Error(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None
    status: str | None = None
    details: msgspec.Raw = msgspec.Raw(b"[]")


class _Body(msgspec.Struct, gc=False):
    error: _Error | str | None = None


_BODY = msgspec.json.Decoder(_Body)
_BODIES = msgspec.json.Decoder(list[_Body])
_ERROR = msgspec.json.Decoder(_Error | str)
_DETAILS = msgspec.json.Decoder(list[_Detail])


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer of `status` 400 or more means. Never raises: an unreadable body keeps the status's meaning."""
    error = _read_body(body)
    details = _details(error)
    lower = {name.lower(): value for name, value in headers.items()}
    return UpstreamError(
        _kind(error, details, status),
        _message(error) or f"The provider answered with status {status}.",
        status=status,
        code=_code(error, details),
        retry_after_s=_retry_after(details, lower.get("retry-after")),
        headers={name: value for name, value in lower.items() if name.startswith(PASSED_HEADERS)},
    )


def stream_error(raw: bytes) -> StreamError:
    """The ending that an error object in a stream is: `raw` is the value of its `error` field."""
    return _event(_read_error(raw))


def error_in(body: bytes) -> StreamError | None:
    """The error that `body` is, where anything may stand."""
    error = _read_body(body)
    return None if error is None else _event(error)


def _event(error: _Error | None) -> StreamError:
    details = _details(error)
    status = error.code if error is not None and isinstance(error.code, int) else 0
    return StreamError(_kind(error, details, status), _message(error) or DEFAULT_MESSAGE, _code(error, details))


def _read_body(body: bytes) -> _Error | None:
    body = mended(body)
    try:
        if body.lstrip()[:1] == b"[":
            found = next((each.error for each in _BODIES.decode(body) if each.error is not None), None)
        else:
            found = _BODY.decode(body).error
    except (ValueError, RecursionError):
        return None
    return _Error(message=found) if isinstance(found, str) else found


def _read_error(raw: bytes) -> _Error | None:
    try:
        found = _ERROR.decode(mended(raw))
    except (ValueError, RecursionError):
        return None
    return _Error(message=found) if isinstance(found, str) else found


def _details(error: _Error | None) -> list[_Detail]:
    if error is None:
        return []
    try:
        return _DETAILS.decode(error.details)
    except (ValueError, RecursionError):
        return []


def _reason(details: list[_Detail]) -> str | None:
    return next((detail.reason for detail in details if detail.type == _ERROR_INFO and detail.reason), None)


def _kind(error: _Error | None, details: list[_Detail], status: int) -> ErrorKind:
    by_status = kind_of_status(status) if 400 <= status < 600 else ErrorKind.UPSTREAM_FAILED
    if error is None:
        return by_status
    by_reason = KIND_BY_REASON.get(_reason(details) or "")
    if by_reason is not None:
        return by_reason
    kind = ERROR_KIND.get(error.status or "", by_status)
    if kind is ErrorKind.INVALID_REQUEST:
        for words, meaning in KIND_BY_TEXT:
            if words.search(error.message or ""):
                return meaning
    return kind


def _message(error: _Error | None) -> str:
    return (error.message or "")[:MAX_MESSAGE_CHARS] if error is not None else ""


def _code(error: _Error | None, details: list[_Detail]) -> str | None:
    return _reason(details) or (error.status if error is not None else None)


def _retry_after(details: list[_Detail], header: str | None) -> float | None:
    """Seconds from `retryDelay` ("17s", "48.9s"), else from the header. A header's date needs a clock: `None`."""
    delay = next((detail.retryDelay for detail in details if detail.type == _RETRY_INFO and detail.retryDelay), None)
    try:
        seconds = float(delay.removesuffix("s") if delay is not None else header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
