"""Relay a Chat Completions caller's own body: another model name in it, and every other field as it came."""

from typing import Final

import msgspec

from proxy.hub.carried import MARK
from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.json_text import mended
from proxy.hub.reasoning_details import SUMMARY, ReasoningDetail
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
_DETAIL = msgspec.json.Decoder(ReasoningDetail)
_TEXT = msgspec.json.Decoder(str)
_YES = msgspec.Raw(b"true")
_NOTHING = msgspec.Raw(b'""')
_MARK = MARK.encode()
_SPAN = b'"span"'


def splice_request(call: NativeCall, target: Target) -> UpstreamRequest:
    """`call` for `target`. Every field keeps its bytes, but for the model and what only this proxy could have put in."""
    fields = _fields(call.body)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model))
    dropped: tuple[str, ...] = ()
    if _MARK in call.body or _SPAN in call.body:
        dropped = _mend_reasoning(fields)
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


def _mend_reasoning(fields: _Fields) -> tuple[str, ...]:
    """Undo what this proxy wrote into reasoning that it told itself; the names of what no vendor of this API can read.

    Reasoning that carries another API's proof (`hub.carried`) is taken out. A detail whose text stands in
    `reasoning_content` (`ReasoningDetail.span`) gets it back: to the vendor its signature is for that text.
    """
    try:
        messages = _MESSAGES.decode(fields.get("messages", b"[]"))
    except (ValueError, RecursionError):
        return ()
    dropped: list[str] = []
    is_changed = False
    for number, message in enumerate(messages):
        raw = bytes(message.get("reasoning_details", _NOTHING))
        if _MARK not in raw and _SPAN not in raw:
            continue
        try:
            details = _DETAILS.decode(raw)
        except (ValueError, RecursionError):
            continue
        left = [_with_text(detail, message) for detail in details if _MARK not in bytes(detail)]
        if left:
            message["reasoning_details"] = msgspec.Raw(msgspec.json.encode(left))
        else:
            del message["reasoning_details"]
        is_changed = True
        if len(left) < len(details):
            dropped.append(f"messages[{number}].reasoning_details")
    if is_changed:
        fields["messages"] = msgspec.Raw(msgspec.json.encode(messages))
    return tuple(dropped)


def _with_text(raw: msgspec.Raw, message: _Fields) -> msgspec.Raw:
    """A detail with the text that its span says; one without a span, or with one of somebody else's, as it is."""
    if _SPAN not in bytes(raw):
        return raw
    try:
        detail = _DETAIL.decode(raw)
        text = _TEXT.decode(message.get("reasoning_content", message.get("reasoning", _NOTHING)))
    except (ValueError, RecursionError):
        return raw
    if detail.span is None or detail.shown:
        return raw
    start, end = detail.span
    if not 0 <= start < end <= len(text):
        return raw
    if detail.type == SUMMARY:
        detail.summary = text[start:end]
    else:
        detail.text = text[start:end]
    detail.span = None
    return msgspec.Raw(msgspec.json.encode(detail))
