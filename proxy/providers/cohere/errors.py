"""What Cohere's errors mean: `{"id":…,"message":"text","error_type":"…"}`, or a message's end with reason ERROR.

Source: docs.cohere.com/reference/errors; cohere-python 7.3.1 `errors/`; recording real-error-scenarios…context-length.
"""

import math
import re
from collections.abc import Mapping

import msgspec

from proxy.hub.errors import ErrorKind, UpstreamError, kind_of_status
from proxy.hub.events import StreamError
from proxy.hub.json_text import mended

MAX_MESSAGE_CHARS = 2000
DEFAULT_MESSAGE = "The provider reported an error."

KIND_BY_REASON: dict[str, ErrorKind] = {
    "ERROR": ErrorKind.UPSTREAM_FAILED,
    "TIMEOUT": ErrorKind.TIMEOUT,
}
"""A `finish_reason` that is a failure."""

KIND_BY_TYPE: dict[str, ErrorKind] = {"TOO_MANY_TOKENS": ErrorKind.CONTEXT_TOO_LONG}
"""`error_type`, which few errors have. Others: the status's meaning."""

KIND_BY_STATUS: dict[int, ErrorKind] = {
    498: ErrorKind.CONTENT_REJECTED,
    499: ErrorKind.UPSTREAM_FAILED,
}
"""Statuses that only this vendor has: blocked content, and a request that was cancelled on its side."""

KIND_BY_TEXT: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (re.compile(r"too many tokens|context length", re.IGNORECASE), ErrorKind.CONTEXT_TOO_LONG),
    (re.compile(r"invalid api token", re.IGNORECASE), ErrorKind.AUTHENTICATION),
    (re.compile(r"\bmodel\b.{0,100}\bnot found\b", re.IGNORECASE | re.DOTALL), ErrorKind.NOT_FOUND),
)
"""What an unspecific status says only in words."""

_VAGUE = frozenset({ErrorKind.INVALID_REQUEST, ErrorKind.UPSTREAM_FAILED, ErrorKind.TOO_LARGE})


class _Body(msgspec.Struct, gc=False):
    message: str | None = None
    error_type: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer of `status` 400 or more means. Never raises: an unreadable body keeps the status's meaning."""
    lower = {name.lower(): value for name, value in headers.items()}
    found = _read(body)
    message = (found.message or "")[:MAX_MESSAGE_CHARS]
    kind = KIND_BY_STATUS.get(status) or kind_of_status(status)
    return UpstreamError(
        _kind(found, kind),
        message or f"The provider answered with status {status}.",
        status=status,
        code=found.error_type,
        retry_after_s=_seconds(lower.get("retry-after")),
        headers={name: value for name, value in lower.items() if name.startswith(("retry-after", "x-ratelimit-"))},
    )


def stream_error(json: bytes) -> StreamError:
    """The ending that an error object in the place of an event is."""
    found = _read(json)
    message = (found.message or "")[:MAX_MESSAGE_CHARS]
    return StreamError(_kind(found, ErrorKind.UPSTREAM_FAILED), message or DEFAULT_MESSAGE, found.error_type)


def error_in(json: bytes) -> StreamError | None:
    """The error that `json` is, where anything may stand: one that says something."""
    return stream_error(json) if _read(json).message else None


def failed_end(reason: str, message: str | None) -> StreamError:
    """The ending that a message's end with a failure is."""
    kind = KIND_BY_REASON.get(reason, ErrorKind.UPSTREAM_FAILED)
    text = (message or "")[:MAX_MESSAGE_CHARS]
    return StreamError(_kind(_Body(text), kind), text or DEFAULT_MESSAGE, reason or None)


def _read(body: bytes) -> _Body:
    try:
        return _BODY.decode(mended(body))
    except (ValueError, RecursionError):
        return _Body()


def _kind(found: _Body, otherwise: ErrorKind) -> ErrorKind:
    by_type = KIND_BY_TYPE.get(found.error_type or "")
    if by_type is not None:
        return by_type
    if otherwise in _VAGUE:
        return next((kind for words, kind in KIND_BY_TEXT if words.search(found.message or "")), otherwise)
    return otherwise


def _seconds(header: str | None) -> float | None:
    """Seconds to wait, where the header gives a number. A date would need a clock; the header itself is passed on."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
