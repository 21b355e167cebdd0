"""Which browser pages may read answers: exact origins of the configuration, or all (`*`); nobody by default.

Credentials in the cookie sense are never allowed; a page sends its key in a header like everybody else. Which headers a
page sends is no matter of trust: those that it asks for are allowed, because SDKs invent some (`x-stainless-…`).
"""

import re
from collections.abc import Mapping

from aiohttp import web
from aiohttp.web_request import BaseRequest

ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOWED_REQUEST_HEADERS = (
    "authorization, content-type, x-api-key, x-goog-api-key, anthropic-version, anthropic-beta,"
    " anthropic-dangerous-direct-browser-access, last-event-id, x-request-id"
)
"""Of pages that do not say which."""
EXPOSED_HEADERS = (
    "x-request-id, request-id, x-goog-request-id, x-proxy-provider, x-proxy-model, x-proxy-attempts, x-proxy-dropped,"
    " x-proxy-stream, x-proxy-estimate, retry-after, retry-after-ms, x-should-retry"
)
PREFLIGHT_MAX_AGE_S = 600

_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4000}")


def cors_headers(request: BaseRequest, origins: tuple[str, ...]) -> Mapping[str, str]:
    """The headers that let the asking page read the answer; none when it may not, or is no page of another origin."""
    origin = request.headers.get("Origin")
    if origin is None or (origin not in origins and "*" not in origins):
        return {}
    return {
        "Access-Control-Allow-Origin": origin if "*" not in origins else "*",
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        "Vary": "Origin",
    }


def answer_preflight(request: BaseRequest, allowed: Mapping[str, str]) -> web.Response | None:
    """The answer to a browser's question whether it may ask; `None` when the request is none, or comes from nowhere."""
    if request.method != "OPTIONS" or not allowed or "Access-Control-Request-Method" not in request.headers:
        return None
    asked = request.headers.get("Access-Control-Request-Headers", "")
    headers = {
        **allowed,
        "Access-Control-Allow-Methods": ALLOWED_METHODS,
        "Access-Control-Allow-Headers": asked if _HEADER_NAMES.fullmatch(asked) else ALLOWED_REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
    }
    return web.Response(status=204, headers=headers)
