"""What Anthropic's errors mean: `{"type":"error","error":{"type":…,"message":…}}`, as a status's body or in a stream.

Spec: docs.anthropic.com/en/api/errors; anthropic SDK 2.12 `_exceptions`, `types/beta_*_error`.
"""

import math
from collections.abc import Mapping

import msgspec

from proxy.hub.errors import KIND_BY_STATUS, ErrorKind, UpstreamError, kind_of_status
from proxy.hub.events import StreamError
from proxy.hub.json_text import mended

MAX_MESSAGE_CHARS = 2000

ERROR_KIND: dict[str, ErrorKind] = {
    "invalid_request_error": ErrorKind.INVALID_REQUEST,
    "authentication_error": ErrorKind.AUTHENTICATION,
    "billing_error": ErrorKind.BILLING,
    "permission_error": ErrorKind.PERMISSION,
    "not_found_error": ErrorKind.NOT_FOUND,
    "conflict_error": ErrorKind.CONFLICT,
    "request_too_large": ErrorKind.TOO_LARGE,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "api_error": ErrorKind.UPSTREAM_FAILED,
    "timeout_error": ErrorKind.TIMEOUT,
    "overloaded_error": ErrorKind.OVERLOADED,
}
"""Unknown types: the status's own meaning; in a stream, where there is none, UPSTREAM_FAILED."""

KIND_BY_TEXT: tuple[tuple[str, ErrorKind], ...] = (
    ("prompt is too long", ErrorKind.CONTEXT_TOO_LONG),
    ("exceed context limit", ErrorKind.CONTEXT_TOO_LONG),
    ("context length", ErrorKind.CONTEXT_TOO_LONG),
    ("context size", ErrorKind.CONTEXT_TOO_LONG),
    ("credit balance is too low", ErrorKind.BILLING),
    ("blocked by content filtering policy", ErrorKind.CONTENT_REJECTED),
)
"""What `invalid_request_error` says only in words (recording real-error-scenarios…context-length; vLLM, llama.cpp)."""

PASSED_HEADERS = ("anthropic-ratelimit-", "x-should-retry")
"""Beginnings of the names of response headers that a caller may use."""


class _Details(msgspec.Struct, gc=False):
    error_code: str | None = None


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    message: str | None = None
    details: msgspec.Raw = msgspec.Raw(b"{}")


class _Body(msgspec.Struct, gc=False):
    type: str | None = None
    error: _Error | str | None = None


class _Foreign(msgspec.Struct, gc=False):
    """What gateways in front of the API, and servers that copy it, put in the place of its error."""

    message: str | None = None
    detail: str | None = None
    msg: str | None = None


_BODY = msgspec.json.Decoder(_Body)
_FOREIGN = msgspec.json.Decoder(_Foreign)
_DETAILS = msgspec.json.Decoder(_Details)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer of `status` 400 or more means. Never raises: an unreadable body keeps the status's meaning."""
    error = read_error(body) or _read_foreign(body)
    lower = {name.lower(): value for name, value in headers.items()}
    return UpstreamError(
        _kind(error, status),
        _message(error) or f"The provider answered with status {status}.",
        status=status,
        code=_code(error),
        retry_after_s=_seconds(lower.get("retry-after")),
        headers={name: value for name, value in lower.items() if name.startswith(PASSED_HEADERS)},
    )


def stream_error(json: bytes) -> StreamError:
    """The ending that an `error` event is."""
    error = read_error(json)
    return StreamError(_kind(error, 0), _message(error) or "The provider reported an error.", _code(error))


def read_error(body: bytes) -> _Error | None:
    """The error object in `body`; `None` when there is none of the API's shape."""
    try:
        found = _BODY.decode(mended(body)).error
    except (ValueError, RecursionError):
        return None
    return _Error(message=found) if isinstance(found, str) else found


def _read_foreign(body: bytes) -> _Error | None:
    try:
        found = _FOREIGN.decode(mended(body))
    except (ValueError, RecursionError):
        return None
    words = found.message or found.detail or found.msg
    return _Error(message=words) if words else None


def _kind(error: _Error | None, status: int) -> ErrorKind:
    by_status = kind_of_status(status) if status else ErrorKind.UPSTREAM_FAILED
    if error is None:
        return by_status
    kind = ERROR_KIND.get(error.type or "", by_status)
    if kind is not ErrorKind.INVALID_REQUEST:
        return kind
    message = (error.message or "").lower()
    for words, meaning in KIND_BY_TEXT:
        if words in message:
            return meaning
    # `invalid_request_error` is also the type of any other 4xx.
    return KIND_BY_STATUS.get(status, kind)


def _message(error: _Error | None) -> str:
    return (error.message or "")[:MAX_MESSAGE_CHARS] if error is not None else ""


def _code(error: _Error | None) -> str | None:
    if error is None:
        return None
    try:
        return _DETAILS.decode(error.details).error_code or error.type
    except ValueError:
        return error.type


def _seconds(text: str | None) -> float | None:
    """A `retry-after` in seconds. Its other form, a date, needs a clock: `None`."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
