"""Errors of the Responses API, in every shape that servers give them: as a body, as an event, inside a response."""

import re
from typing import Final

import msgspec

from proxy.hub.errors import ErrorKind, kind_of_status
from proxy.providers.openai_responses import wire

MAX_MESSAGE_CHARS: Final = 2000


class Fault(msgspec.Struct, frozen=True):
    """An error as the provider put it; `message` is empty when it gave none."""

    kind: ErrorKind
    message: str
    code: str | None = None
    param: str | None = None


ERROR_KIND: dict[str, ErrorKind] = {
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "string_above_max_length": ErrorKind.CONTEXT_TOO_LONG,
    "content_filter": ErrorKind.CONTENT_REJECTED,
    "content_policy_violation": ErrorKind.CONTENT_REJECTED,
    "invalid_prompt": ErrorKind.CONTENT_REJECTED,
    "bio_policy": ErrorKind.CONTENT_REJECTED,
    "cyber_policy": ErrorKind.CONTENT_REJECTED,
    "misalignment_policy_violation": ErrorKind.CONTENT_REJECTED,
    "image_content_policy_violation": ErrorKind.CONTENT_REJECTED,
    "moderation_blocked": ErrorKind.CONTENT_REJECTED,
    "invalid_api_key": ErrorKind.AUTHENTICATION,
    "authentication_error": ErrorKind.AUTHENTICATION,
    "insufficient_quota": ErrorKind.BILLING,
    "billing_hard_limit_reached": ErrorKind.BILLING,
    "permission_error": ErrorKind.PERMISSION,
    "permission_denied": ErrorKind.PERMISSION,
    "unsupported_country_region_territory": ErrorKind.PERMISSION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "conflict": ErrorKind.CONFLICT,
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "too_many_requests": ErrorKind.RATE_LIMIT,
    "slow_down": ErrorKind.RATE_LIMIT,
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "service_unavailable_error": ErrorKind.OVERLOADED,
    "vector_store_timeout": ErrorKind.TIMEOUT,
    "timeout": ErrorKind.TIMEOUT,
    "server_error": ErrorKind.UPSTREAM_FAILED,
    "internal_error": ErrorKind.UPSTREAM_FAILED,
    "data_residency_mismatch": ErrorKind.INVALID_REQUEST,
    "invalid_image": ErrorKind.INVALID_REQUEST,
    "invalid_image_format": ErrorKind.INVALID_REQUEST,
    "invalid_image_mode": ErrorKind.INVALID_REQUEST,
    "invalid_image_url": ErrorKind.INVALID_REQUEST,
    "invalid_base64_image": ErrorKind.INVALID_REQUEST,
    "image_too_large": ErrorKind.INVALID_REQUEST,
    "image_too_small": ErrorKind.INVALID_REQUEST,
    "image_parse_error": ErrorKind.INVALID_REQUEST,
    "image_file_too_large": ErrorKind.INVALID_REQUEST,
    "image_file_not_found": ErrorKind.INVALID_REQUEST,
    "unsupported_image_media_type": ErrorKind.INVALID_REQUEST,
    "empty_image_file": ErrorKind.INVALID_REQUEST,
    "failed_to_download_image": ErrorKind.INVALID_REQUEST,
}
"""By `code`, then by `type`. Unknown words: what the HTTP status means, or UPSTREAM_FAILED inside a stream."""


_CONTEXT_WORDS = re.compile(r"context.?(length|window|size|limit)|prompt is too long|too many tokens", re.IGNORECASE)
"""How servers without OpenAI's codes (vLLM, llama.cpp) say that a prompt is too long."""


class _ErrorObject(msgspec.Struct, gc=False):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    detail: msgspec.Raw = msgspec.Raw()


_ERROR_OBJECT = msgspec.json.Decoder(_ErrorObject)


def fault_of(body: bytes | msgspec.Raw, otherwise: ErrorKind) -> Fault:
    """The error that `body` describes, in any of the shapes seen; never raises.

    `{"error":{message,type,code,param}}`, the same without the envelope, `{"error":"text","code":"word"}` (xAI,
    recording xai error-handling), `{"detail":"text"}`, or a bare JSON string.
    """
    try:
        found = _ERROR_OBJECT.decode(body)
    except (ValueError, RecursionError):
        return Fault(otherwise, _text_of(body))
    if wire.is_given(found.error):
        inner = fault_of(found.error, _kind(found, otherwise))
        return inner if inner.code is not None or found.code is None else _with_code(inner, found.code)
    message = found.message
    if message is None:
        message = _text_of(found.detail) or _message_in(found.detail)
    code = None if found.code is None else str(found.code)
    kind = _kind(found, otherwise)
    if kind is ErrorKind.INVALID_REQUEST and _CONTEXT_WORDS.search(message):
        kind = ErrorKind.CONTEXT_TOO_LONG
    return Fault(kind, message[:MAX_MESSAGE_CHARS], code, _text_of(found.param) or None)


def _kind(found: _ErrorObject, otherwise: ErrorKind) -> ErrorKind:
    code = found.code
    if isinstance(code, int):
        # OpenRouter gives the upstream's HTTP status as the code.
        return kind_of_status(code) if 400 <= code < 600 else otherwise
    known = ERROR_KIND.get(code or "") or ERROR_KIND.get(found.type or "")
    if known is not None:
        return known
    # The type of most errors with a 4xx status, which says more; inside a stream there is none.
    is_request = found.type == "invalid_request_error" and otherwise is ErrorKind.UPSTREAM_FAILED
    return ErrorKind.INVALID_REQUEST if is_request else otherwise


def _message_in(detail: msgspec.Raw) -> str:
    try:
        return _ERROR_OBJECT.decode(detail).message or ""
    except (ValueError, RecursionError):
        return ""


def _with_code(fault: Fault, code: str | int) -> Fault:
    return msgspec.structs.replace(fault, code=str(code))


def _text_of(raw: bytes | msgspec.Raw) -> str:
    """The JSON string in `raw`; empty for anything else."""
    try:
        return wire.STRING.decode(raw)[:MAX_MESSAGE_CHARS]
    except (ValueError, RecursionError):
        return ""
