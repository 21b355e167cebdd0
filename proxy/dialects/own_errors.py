"""Errors answered before the stream began, for dialects whose vendors define no error body.

    {"error": {"type": "rate_limit", "message": "…", "retryable": true, "param"?: "messages[0].role"}}

AI SDK and AG-UI clients show the status and the body's text; no field of it means anything to them.
"""

import msgspec

from proxy.hub.errors import RETRYABLE, ProxyError


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    message: str
    retryable: bool
    param: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


def error_body(error: ProxyError) -> bytes:
    """The JSON body."""
    return msgspec.json.encode(_Body(_Error(error.kind.value, error.message, error.kind in RETRYABLE, error.param)))
