"""Answers that are not streams: errors in the caller's dialect, whole completions, JSON of our own."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from proxy.dialects.base import Dialect
from proxy.hub.errors import RETRYABLE, ProxyError

SERVER_NAME = "llm-stream-proxy"

PASSED_HEADERS = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
PASSED_HEADER_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")
"""Upstream response headers that callers' SDKs act on: passed on."""


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of an upstream's headers (lower-case names) that go on to the caller."""
    return {
        name: header_text(value)
        for name, value in headers.items()
        if name in PASSED_HEADERS or name.startswith(PASSED_HEADER_PREFIXES)
    }


def header_text(text: str) -> str:
    """`text` as a header value: printable ASCII, anything else as a question mark (aiohttp would write UTF-8)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def json_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` as JSON."""
    return web.Response(
        body=body, status=status, headers={"Server": SERVER_NAME, **(headers or {})}, content_type="application/json"
    )


def error_answer(
    error: ProxyError, dialect: Dialect, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`error` in the caller's dialect, with what its SDK needs to decide about a retry."""
    of_error = {name: header_text(value) for name, value in error.headers.items()}
    extra = {**(headers or {}), **of_error, "x-request-id": request_id}
    if dialect.request_id_header != "x-request-id":
        extra[dialect.request_id_header] = request_id
    if error.retry_after_s is not None and "retry-after" not in extra:
        extra["retry-after"] = f"{max(error.retry_after_s, 0):.0f}" if error.retry_after_s >= 1 else "1"
    if error.kind not in RETRYABLE:
        extra.setdefault("x-should-retry", "false")
    return json_answer(dialect.encode_error(error, request_id), status=dialect.status(error), headers=extra)


def bare_error_body(status: int) -> bytes:
    """A JSON error for a request of which no dialect is known, in the shape that most clients read."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return msgspec.json.encode({"error": {"message": phrase, "type": kind, "param": None, "code": None}})
