"""What can go wrong and whose fault it is: one closed list of kinds, one table of statuses, four exceptions."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self


class ErrorKind(StrEnum):
    """What happened, in the words that every dialect's error table is keyed by."""

    INVALID_REQUEST = "invalid_request"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_REJECTED = "content_rejected"
    """The provider's filter refused the prompt: asking again, here or elsewhere, is wrong."""
    AUTHENTICATION = "authentication"
    BILLING = "billing"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    REQUEST_TIMEOUT = "request_timeout"
    """The caller took too long to send its request."""
    RATE_LIMIT = "rate_limit"
    UPSTREAM_FAILED = "upstream_failed"
    """The provider answered with a fault of its own, or with nothing usable."""
    UNREACHABLE = "unreachable"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    """The provider was too slow (headers, first event, idle, total)."""
    CUT = "cut"
    """The provider's stream ended without its terminator."""
    PROTOCOL = "protocol"
    """The provider sent what its API does not allow."""
    CALLER_TOO_SLOW = "caller_too_slow"
    DRAINED = "drained"
    KILLED = "killed"
    INTERNAL = "internal"


HTTP_STATUS: dict[ErrorKind, int] = {
    ErrorKind.INVALID_REQUEST: 400,
    ErrorKind.CONTEXT_TOO_LONG: 400,
    ErrorKind.CONTENT_REJECTED: 400,
    ErrorKind.AUTHENTICATION: 401,
    ErrorKind.BILLING: 402,
    ErrorKind.PERMISSION: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.METHOD_NOT_ALLOWED: 405,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED_MEDIA: 415,
    ErrorKind.REQUEST_TIMEOUT: 408,
    ErrorKind.RATE_LIMIT: 429,
    ErrorKind.UPSTREAM_FAILED: 502,
    ErrorKind.UNREACHABLE: 502,
    ErrorKind.OVERLOADED: 503,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.CUT: 502,
    ErrorKind.PROTOCOL: 502,
    ErrorKind.CALLER_TOO_SLOW: 408,
    ErrorKind.DRAINED: 503,
    ErrorKind.KILLED: 503,
    ErrorKind.INTERNAL: 500,
}
"""The status an error gets when it is answered before the stream began. A dialect may override (Anthropic's 529)."""

RETRYABLE: frozenset[ErrorKind] = frozenset(
    {
        ErrorKind.REQUEST_TIMEOUT,
        ErrorKind.CONFLICT,
        ErrorKind.RATE_LIMIT,
        ErrorKind.UPSTREAM_FAILED,
        ErrorKind.UNREACHABLE,
        ErrorKind.OVERLOADED,
        ErrorKind.TIMEOUT,
        ErrorKind.CUT,
        ErrorKind.PROTOCOL,
        ErrorKind.DRAINED,
        ErrorKind.KILLED,
        ErrorKind.INTERNAL,
    }
)
"""Kinds for which the same request may succeed later."""

KIND_BY_STATUS: dict[int, ErrorKind] = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.AUTHENTICATION,
    402: ErrorKind.BILLING,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.METHOD_NOT_ALLOWED,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.CONFLICT,
    413: ErrorKind.TOO_LARGE,
    415: ErrorKind.UNSUPPORTED_MEDIA,
    422: ErrorKind.INVALID_REQUEST,
    424: ErrorKind.UPSTREAM_FAILED,
    429: ErrorKind.RATE_LIMIT,
    500: ErrorKind.UPSTREAM_FAILED,
    502: ErrorKind.UPSTREAM_FAILED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}


def kind_of_status(status: int) -> ErrorKind:
    """The kind that an upstream's HTTP status means when its body says nothing better."""
    known = KIND_BY_STATUS.get(status)
    if known is not None:
        return known
    return ErrorKind.INVALID_REQUEST if 400 <= status < 500 else ErrorKind.UPSTREAM_FAILED


class ProxyError(Exception):
    """Base of every fault with a name. `message` is safe for the caller: never keys, prompts or foreign exception texts."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        """The request field at fault, as a path: `messages[2].content`."""
        self.code = code
        self.retry_after_s = retry_after_s
        self.headers: Mapping[str, str] = headers or {}
        """Response headers to pass on (rate limits), lower-case names."""

    def without_frames(self) -> Self:
        """Itself, without the frames through which it and its causes came.

        Whoever keeps a fault that it has caught keeps by these frames all that they refer to, most often itself.
        """
        fault: BaseException | None = self
        while fault is not None:
            fault.__traceback__ = None
            fault = fault.__cause__ or fault.__context__
        return self


class CallerError(ProxyError):
    """The request is at fault: nothing was sent upstream."""


class UpstreamError(ProxyError):
    """The provider is at fault, or refused. `status` is its HTTP status, 0 when there was none."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int = 0,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind, message, param=param, code=code, retry_after_s=retry_after_s, headers=headers)
        self.status = status


class UpstreamProtocolError(UpstreamError):
    """The provider sent bytes that its API does not allow; the decoder that raised it is dead."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorKind.PROTOCOL, message)


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one line each: where, what was expected, what came."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
