"""What Bedrock's errors mean: exceptions with a name, as a frame of a stream or as a header of a refusal.

    x-amzn-errortype: ThrottlingException:http://…        with the body {"message":"…"}
    :exception-type throttlingException                   in a stream, the same body

Source: botocore 1.44 `bedrock-runtime/2023-09-30/service-2.json`; docs.aws.amazon.com "Common errors".
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

ERROR_KIND: dict[str, ErrorKind] = {
    "accessdenied": ErrorKind.PERMISSION,
    "conflict": ErrorKind.CONFLICT,
    "expiredtoken": ErrorKind.PERMISSION,
    "incompletesignature": ErrorKind.PERMISSION,
    "internalfailure": ErrorKind.UPSTREAM_FAILED,
    "internalserver": ErrorKind.UPSTREAM_FAILED,
    "invalidsignature": ErrorKind.PERMISSION,
    "missingauthenticationtoken": ErrorKind.PERMISSION,
    "modelerror": ErrorKind.UPSTREAM_FAILED,
    "modelnotready": ErrorKind.OVERLOADED,
    "modelstreamerror": ErrorKind.UPSTREAM_FAILED,
    "modeltimeout": ErrorKind.TIMEOUT,
    "resourcenotfound": ErrorKind.NOT_FOUND,
    "servicequotaexceeded": ErrorKind.BILLING,
    "serviceunavailable": ErrorKind.OVERLOADED,
    "throttling": ErrorKind.RATE_LIMIT,
    "unrecognizedclient": ErrorKind.PERMISSION,
    "validation": ErrorKind.INVALID_REQUEST,
}
"""Names in lower case without `Exception`. A refused signature comes with 403 and stays one.

Unknown names: the status's meaning; in a stream UPSTREAM_FAILED.
"""

KIND_BY_TEXT: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (
        re.compile(r"(input|prompt) is too long|context (length|window)|maximum (number of )?tokens", re.IGNORECASE),
        ErrorKind.CONTEXT_TOO_LONG,
    ),
    (re.compile(r"model identifier is invalid", re.IGNORECASE), ErrorKind.NOT_FOUND),
    (re.compile(r"blocked by content filtering policy", re.IGNORECASE), ErrorKind.CONTENT_REJECTED),
)
"""What `ValidationException` and a bare status say only in words."""


class _Body(msgspec.Struct, gc=False):
    message: str | None = None
    Message: str | None = None
    """The gateway's own refusals write it so."""
    originalMessage: str | None = None
    type: str | None = msgspec.field(default=None, name="__type")


_BODY = msgspec.json.Decoder(_Body)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer of `status` 400 or more means. Never raises: an unreadable body keeps the status's meaning."""
    lower = {name.lower(): value for name, value in headers.items()}
    found = _read(body)
    name = _name(lower.get("x-amzn-errortype") or found.type or "")
    return UpstreamError(
        _kind(name, found, kind_of_status(status)),
        _message(found) or f"The provider answered with status {status}.",
        status=status,
        code=name or None,
        retry_after_s=_seconds(lower.get("retry-after")),
        headers={key: value for key, value in lower.items() if key == "retry-after"},
    )


def stream_error(name: str, payload: bytes) -> StreamError:
    """The ending that an exception frame is. `name`: its `:exception-type` or `:error-code`."""
    found = _read(payload)
    return StreamError(
        _kind(name, found, ErrorKind.UPSTREAM_FAILED), _message(found) or DEFAULT_MESSAGE, _name(name) or None
    )


def _read(body: bytes) -> _Body:
    try:
        return _BODY.decode(mended(body))
    except (ValueError, RecursionError):
        return _Body()


def _name(text: str) -> str:
    """The bare name in `com.amazonaws.bedrock#ThrottlingException:http://…`."""
    return text.partition(":")[0].rpartition("#")[2].strip()[:100]


def _message(found: _Body) -> str:
    return (found.message or found.Message or found.originalMessage or "")[:MAX_MESSAGE_CHARS]


def _kind(name: str, found: _Body, otherwise: ErrorKind) -> ErrorKind:
    bare = name.lower().removesuffix("exception").removesuffix("error")
    kind = ERROR_KIND.get(bare) or ERROR_KIND.get(name.lower().removesuffix("exception")) or otherwise
    if kind is not ErrorKind.INVALID_REQUEST:
        return kind
    return next((meaning for words, meaning in KIND_BY_TEXT if words.search(_message(found))), kind)


def _seconds(header: str | None) -> float | None:
    """Seconds to wait, where the header gives a number. A date would need a clock; the header itself is passed on."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
