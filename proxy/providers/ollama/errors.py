"""What Ollama's errors mean: `{"error":"text"}`, as a status's body or as a line of a stream.

There are no codes: only the status, where there is one, and words tell one fault from another.
Source: ollama `api/types.go` StatusError, `server/routes.go`.
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

KIND_BY_TEXT: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (re.compile(r"context (length|window|size)|prompt (is )?too long", re.IGNORECASE), ErrorKind.CONTEXT_TOO_LONG),
    (re.compile(r"\bmodel\b.*\bnot found\b", re.IGNORECASE | re.DOTALL), ErrorKind.NOT_FOUND),
    (re.compile(r"\b(server busy|maximum pending requests|overloaded)\b", re.IGNORECASE), ErrorKind.OVERLOADED),
    (re.compile(r"\bdoes not support\b", re.IGNORECASE), ErrorKind.INVALID_REQUEST),
    (re.compile(r"\bunauthorized\b", re.IGNORECASE), ErrorKind.AUTHENTICATION),
)
"""Words that say more than the status. Others: the status's meaning; in a stream, where there is none, UPSTREAM_FAILED."""

_VAGUE = frozenset({ErrorKind.INVALID_REQUEST, ErrorKind.UPSTREAM_FAILED})
"""Meanings of a status that words overrule."""


class _Object(msgspec.Struct, gc=False):
    message: str | None = None


class _Body(msgspec.Struct, gc=False):
    error: msgspec.Raw = msgspec.Raw(b"null")


_BODY = msgspec.json.Decoder(_Body)
_ERROR = msgspec.json.Decoder(str | _Object | None)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer of `status` 400 or more means. Never raises: an unreadable body keeps the status's meaning."""
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        message = message_of(_BODY.decode(mended(body)).error)
    except (ValueError, RecursionError):
        message = ""
    kind = kind_of_status(status)
    return UpstreamError(
        _kind_by_text(message, kind) if kind in _VAGUE else kind,
        message or f"The provider answered with status {status}.",
        status=status,
        retry_after_s=_seconds(lower.get("retry-after")),
        headers={name: value for name, value in lower.items() if name.startswith(("retry-after", "x-ratelimit-"))},
    )


def stream_error(error: msgspec.Raw) -> StreamError:
    """The ending that a line with the field `error` is."""
    message = message_of(error)
    return StreamError(_kind_by_text(message, ErrorKind.UPSTREAM_FAILED), message or DEFAULT_MESSAGE)


def message_of(error: msgspec.Raw) -> str:
    """The words of an `error` field: a text, or an object with a `message`; empty for anything else."""
    try:
        found = _ERROR.decode(mended(bytes(error)))
    except (ValueError, RecursionError):
        return ""
    text = found.message if isinstance(found, _Object) else found
    return (text or "")[:MAX_MESSAGE_CHARS]


def _kind_by_text(message: str, otherwise: ErrorKind) -> ErrorKind:
    return next((kind for words, kind in KIND_BY_TEXT if words.search(message)), otherwise)


def _seconds(header: str | None) -> float | None:
    """Seconds to wait, where the header gives a number. A date would need a clock; the header itself is passed on."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
