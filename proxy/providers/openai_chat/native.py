"""Relay a Chat Completions caller's own body: another model name in it, and every other field as it came."""

from typing import Final

import msgspec

from proxy.hub.carried import MARK
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.json_text import mended
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.openai_chat.request import PATH

FORWARDED_HEADERS: Final = frozenset(
    {
        "accept",
        "http-referer",
        "idempotency-key",
        "openai-beta",
        "x-client-request-id",
        "x-title",
    }
)
"""What a caller may say to the provider. Credentials and what names an account (organisation, project) stay out: they
belong to the key that is used."""

_Fields = dict[str, msgspec.Raw]
_FIELDS = msgspec.json.Decoder(_Fields)
_MESSAGES = msgspec.json.Decoder(list[_Fields])
_DETAILS = msgspec.json.Decoder(list[msgspec.Raw])
_YES = msgspec.Raw(b"true")


def splice_request(call: NativeCall, target: Target) -> UpstreamRequest:
    """`call` for `target`. Every field keeps its bytes, but for the model and what only this proxy could have put in."""
    fields = _fields(call.body)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model))
    dropped: tuple[str, ...] = ()
    if MARK.encode() in call.body:
        dropped = _without_carried(fields)
    if call.stream and call.inject_usage and "stream_options" not in target.quirks.omit:
        _ask_for_usage(fields)
    headers = {name: value for name, value in call.headers.items() if name in FORWARDED_HEADERS}
    return UpstreamRequest(PATH, msgspec.json.encode(fields), {"content-type": "application/json", **headers}, dropped)


def _fields(body: bytes) -> _Fields:
    try:
        return _FIELDS.decode(body)
    except (ValueError, RecursionError) as fault:
        repaired = mended(body)
        if repaired != body:
            return _fields(repaired)
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is no JSON object.") from fault


def _ask_for_usage(fields: _Fields) -> None:
    try:
        options = _FIELDS.decode(fields.get("stream_options", b"{}"))
    except (ValueError, RecursionError):
        # null, or the caller's own fault: the provider will say what is wrong.
        if bytes(fields["stream_options"]) != b"null":
            return
        options = {}
    options["include_usage"] = _YES
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))


def _without_carried(fields: _Fields) -> tuple[str, ...]:
    """Take reasoning out that carries another API's proof (`hub.carried`); where it stood."""
    try:
        messages = _MESSAGES.decode(fields.get("messages", b"[]"))
    except (ValueError, RecursionError):
        return ()
    mark = MARK.encode()
    dropped: list[str] = []
    for number, message in enumerate(messages):
        raw = message.get("reasoning_details")
        if raw is None or mark not in bytes(raw):
            continue
        try:
            details = _DETAILS.decode(raw)
        except (ValueError, RecursionError):
            continue
        left = [detail for detail in details if mark not in bytes(detail)]
        if left:
            message["reasoning_details"] = msgspec.Raw(msgspec.json.encode(left))
        else:
            del message["reasoning_details"]
        dropped.append(f"messages[{number}].reasoning_details")
    if dropped:
        fields["messages"] = msgspec.Raw(msgspec.json.encode(messages))
    return tuple(dropped)
