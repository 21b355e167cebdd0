"""Writes an HTTP/1.1 request: the head and the body in one piece, nothing in it that could start another line."""

import re
from collections.abc import Mapping

from proxy import __version__
from proxy.hub.errors import CallerError, ErrorKind
from proxy.upstream.endpoint import TARGET, Endpoint, authority

USER_AGENT = f"llm-stream-proxy/{__version__}"
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2: methods and header names."""
UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
"""Control characters (CR, LF and NUL among them), and what Latin-1 does not have."""

OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to this connection: what the caller of `encode_request` says about them is ignored."""
WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
"""Methods that state a length even when there is no body (RFC 9110 section 8.6)."""


def encode_request(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole request. `path` begins with a slash, may have a query, and follows the endpoint's `base_path`.

    Adds host, length, `accept-encoding: identity` and, unless given, a user agent. Raises CallerError for a method,
    path or header that HTTP cannot carry; its message never quotes a value.
    """
    if TOKEN.fullmatch(method) is None:
        raise _unsendable("method")
    if TARGET.fullmatch(path) is None:
        raise _unsendable("path")
    lines = [
        f"{method} {_request_target(endpoint, path)} HTTP/1.1",
        f"host: {endpoint.host_header}",
        "accept-encoding: identity",
    ]
    has_agent = False
    for name, value in headers.items():
        lower = name.lower()
        if lower in OURS:
            continue
        if TOKEN.fullmatch(name) is None:
            raise _unsendable("header name")
        if UNSENDABLE.search(value) is not None:
            raise _unsendable(f"value of header {name!r}")
        has_agent = has_agent or lower == "user-agent"
        lines.append(f"{name}: {value}")
    if not has_agent:
        lines.append(f"user-agent: {USER_AGENT}")
    if body or method in WITH_LENGTH:
        lines.append(f"content-length: {len(body)}")
    if _is_forwarded(endpoint) and endpoint.proxy is not None and endpoint.proxy.authorization is not None:
        lines.append(f"proxy-authorization: {endpoint.proxy.authorization}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1") + body


def encode_connect(endpoint: Endpoint) -> bytes:
    """The CONNECT request that asks the endpoint's proxy for a tunnel."""
    target = authority(endpoint.host, endpoint.port)
    lines = [f"CONNECT {target} HTTP/1.1", f"host: {target}", f"user-agent: {USER_AGENT}"]
    if endpoint.proxy is not None and endpoint.proxy.authorization is not None:
        lines.append(f"proxy-authorization: {endpoint.proxy.authorization}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


def _is_forwarded(endpoint: Endpoint) -> bool:
    """Whether a proxy reads the request itself, rather than carrying it in a tunnel."""
    return endpoint.proxy is not None and endpoint.scheme == "http"


def _request_target(endpoint: Endpoint, path: str) -> str:
    target = endpoint.base_path + path
    return f"http://{endpoint.host_header}{target}" if _is_forwarded(endpoint) else target


def _unsendable(what: str) -> CallerError:
    return CallerError(ErrorKind.INVALID_REQUEST, f"The {what} cannot be sent over HTTP.", code="bad_header")
