"""A canonical request: a Chat Completions body, made shorter to write by hand, or the query of a GET.

    {"prompt": "Hello"}                                         everything else has a default
    {"system": "Be brief", "messages": [{"role": "user", …}]}   `messages` as in Chat Completions
    {"prompt": "…", "response_format": "json", "stream": false}
    {"prompt": "…", "tools": […], "partial_json": true}

* `prompt` is one more user message after `messages`; `system` one more system message before them.
* `stream` is true when it is absent: this is the streaming dialect.
* `response_format` may be the word `json` in place of `{"type": "json_object"}`.
* `partial_json` adds the value so far to each `tool_call_delta` that changes it, `check_arguments` a `tool_call_invalid` as
  soon as arguments break their tool's schema (`canonical_checks`).
* Every other field is that of Chat Completions, and is read by its own code, which the dialect is given: names, types and
  faults are the same in both. `canonical` knows none of it.

An EventSource can only GET, so `prompt`, `system`, `model` and the short options below may stand in the query. What else
is in a query (keys, cache busters) is nobody's business here.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from proxy.dialects.base import CallParams, Envelope
from proxy.dialects.canonical_checks import Rules, rules_of
from proxy.dialects.json_body import missing, read, read_body, read_fields, wrong
from proxy.hub.request import ChatRequest, Message, Role, TextPart


class Options(msgspec.Struct, omit_defaults=True):
    """What a stream shows beyond the usual: its variant, as JSON."""

    partial_json: bool = False
    checks: dict[str, Rules] = {}
    """By tool."""
    reconnects: bool = False
    """The caller is an EventSource: when it loses its stream it asks again by itself, and names the last id that it has."""


OPTIONS = msgspec.json.Decoder(Options)

ReadChatRequest = Callable[[bytes], ChatRequest]
"""Reads a Chat Completions body. Raises CallerError."""

EVENT_STREAM = "text/event-stream"
"""What an EventSource accepts, and what it gets."""

_ABSENT = msgspec.Raw(b"")
_JSON_OBJECT = msgspec.Raw(b'{"type":"json_object"}')


class _Body(msgspec.Struct):
    """The fields that Chat Completions does not have, or understands otherwise."""

    model: str | None = None
    stream: bool | None = None
    system: str | None = None
    prompt: str | None = None
    partial_json: bool | None = None
    check_arguments: bool | None = None
    tools: msgspec.Raw = _ABSENT
    messages: list[msgspec.Raw] | None = None
    response_format: msgspec.Raw = _ABSENT


_BODY = msgspec.json.Decoder(_Body)

_OWN_FIELDS = ("stream", "system", "prompt", "partial_json", "check_arguments")
"""What `read_chat` must not see: it would count them as unknown."""


def decode_envelope(body: bytes, params: CallParams) -> Envelope:
    """See `Dialect.envelope`."""
    found = read_body(_BODY, body or _body_of(params.query))
    return Envelope(
        model=found.model or None,
        stream=found.stream is not False,
        variant=_variant(found, reconnects=not body and EVENT_STREAM in params.headers.get("accept", "")),
    )


def _variant(found: _Body, *, reconnects: bool) -> str:
    options = Options(
        partial_json=bool(found.partial_json),
        checks=rules_of(bytes(found.tools)) if found.check_arguments else {},
        reconnects=reconnects,
    )
    return msgspec.json.encode(options).decode() if options != Options() else ""


def decode_request(body: bytes, params: CallParams, read_chat: ReadChatRequest) -> ChatRequest:
    """See `Dialect.decode_request`."""
    body = body or _body_of(params.query)
    fields = read_fields(body)
    found = read(_BODY, body)
    if not found.messages and found.prompt is None:
        raise missing("messages")
    if bytes(found.response_format) == b'"json"':
        fields["response_format"] = _JSON_OBJECT
    for name in _OWN_FIELDS:
        fields.pop(name, None)
    messages = list(found.messages or [])
    if found.prompt is not None:
        messages.append(msgspec.Raw(msgspec.json.encode({"role": "user", "content": found.prompt})))
    fields["messages"] = msgspec.Raw(msgspec.json.encode(messages))
    chat = read_chat(msgspec.json.encode(fields))
    # Put in front only now, so that `messages[0]` in a fault is the caller's own first message.
    system = () if found.system is None else (Message(Role.SYSTEM, (TextPart(found.system),)),)
    return msgspec.structs.replace(
        chat, messages=(*system, *chat.messages), stream=found.stream is not False, include_usage=True
    )


# --- the query of a GET


def _body_of(query: Mapping[str, str]) -> bytes:
    """The body that says the same as `query`. Raises CallerError."""
    if "prompt" not in query:
        raise missing("prompt")
    fields: dict[str, object] = {name: query[name] for name in _TEXTS if name in query}
    for name, read_value in _SHORT_OPTIONS.items():
        if name in query:
            fields[name] = read_value(name, query[name])
    return msgspec.json.encode(fields)


def _integer(name: str, text: str) -> msgspec.Raw:
    if not _INTEGER.fullmatch(text):
        raise wrong(name, "a whole number", text)
    return msgspec.Raw(text.encode())


def _number(name: str, text: str) -> msgspec.Raw:
    if not _NUMBER.fullmatch(text):
        raise wrong(name, "a number", text)
    return msgspec.Raw(text.encode())


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false", "1", "0", ""):
        raise wrong(name, "'true' or 'false'", text)
    return text in ("true", "1", "")


_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
_TEXTS = ("prompt", "system", "model", "response_format", "reasoning_effort")
_SHORT_OPTIONS: dict[str, Callable[[str, str], object]] = {
    "max_tokens": _integer,
    "temperature": _number,
    "partial_json": _flag,
    "stream": _flag,
}
