"""Requests of callers who speak Anthropic's own API, relayed with as little change as possible.

The body keeps every field; only `model` becomes the target's. One thing may not pass: proofs of other families that an
earlier answer carried in thinking blocks (`hub.carried`). They are worthless here and the API refuses them, so the
blocks that hold them go. A caller gets there by switching models within a conversation.
"""

from collections.abc import Mapping

import msgspec

from proxy.hub.carried import MARK
from proxy.hub.errors import CallerError, ErrorKind
from proxy.providers.anthropic.request import PATH, VERSION
from proxy.providers.base import NativeCall, Target, UpstreamRequest

PATHS = {"generate": PATH, "count_tokens": f"{PATH}/count_tokens"}

PASSED_HEADERS = frozenset({"idempotency-key", "x-app", "x-claude-code-session-id"})
"""Beside all that begin with `anthropic-`."""

BROWSER_HEADER = "anthropic-dangerous-direct-browser-access"
"""Speaks of the caller's own connection, which ends here."""

_Fields = dict[str, msgspec.Raw]


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    signature: str = ""
    data: str = ""
    citations: list[msgspec.Raw] | None = None


class _Message(msgspec.Struct, gc=False):
    role: str = ""
    content: list[msgspec.Raw] | str = ""


class _Thinking(msgspec.Struct, gc=False):
    type: str = ""


_FIELDS = msgspec.json.Decoder(_Fields)
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(_Message)
_BLOCK = msgspec.json.Decoder(_Block)
_THINKING = msgspec.json.Decoder(_Thinking)

_MARK = MARK.encode()


def splice_request(call: NativeCall, target: Target) -> UpstreamRequest:
    """The caller's own request for `target`. Raises CallerError for a body that is no JSON object."""
    try:
        body, dropped = _splice(call.body, target.model)
    except (ValueError, RecursionError) as fault:
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is not a request of this API.") from fault
    path = PATHS[call.operation]
    if "beta" in call.query:
        path += "?beta=true"
    return UpstreamRequest(path, body, headers=passed_headers(call.headers), dropped=dropped)


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the caller's headers that the API reads, unchanged; the version that it demands is added."""
    passed = {
        name: value
        for name, value in headers.items()
        if name in PASSED_HEADERS or (name.startswith("anthropic-") and name != BROWSER_HEADER)
    }
    return {"content-type": "application/json", "anthropic-version": VERSION, **passed}


def _splice(body: bytes, model: str) -> tuple[bytes, tuple[str, ...]]:
    fields = _FIELDS.decode(body)
    name = msgspec.Raw(msgspec.json.encode(model))
    is_same = bytes(fields.get("model", b"")) == bytes(name)
    dropped: tuple[str, ...] = ()
    if _MARK in body:
        dropped = _without_foreign_proofs(fields)
    if is_same and not dropped:
        return body, ()
    fields["model"] = name
    return msgspec.json.encode(fields), dropped


def _without_foreign_proofs(fields: _Fields) -> tuple[str, ...]:
    """Take the blocks with proofs of other families out of `fields`; what went, by path."""
    dropped: list[str] = []
    messages: list[msgspec.Raw] = []
    last_turn: list[msgspec.Raw] = []
    for index, raw in enumerate(_MESSAGES.decode(fields.get("messages", b"[]"))):
        message = _MESSAGE.decode(raw)
        content = message.content
        if isinstance(content, list) and message.role == "assistant":
            if _MARK in bytes(raw):
                content = _own_blocks(content, f"messages[{index}].content", dropped)
                raw = _with_content(raw, content)
            last_turn = content
        if content:
            messages.append(raw)
    fields["messages"] = msgspec.Raw(msgspec.json.encode(messages))
    if dropped and _thinks_by_budget(fields) and _calls_without_thinking(last_turn):
        # The API wants a turn of calls to begin with thinking, and thinking for the editing of it.
        for name in ("thinking", "context_management"):
            if fields.pop(name, None) is not None:
                dropped.append(name)
    return tuple(dropped)


def _own_blocks(content: list[msgspec.Raw], path: str, dropped: list[str]) -> list[msgspec.Raw]:
    kept: list[msgspec.Raw] = []
    for index, raw in enumerate(content):
        block = _block(raw)
        if block.signature.startswith(MARK) or block.data.startswith(MARK):
            dropped.append(f"{path}[{index}]: {block.type}")
        elif block.citations and _MARK in bytes(raw):
            dropped.append(f"{path}[{index}].citations")
            fields = _FIELDS.decode(raw)
            own = [citation for citation in block.citations if _MARK not in bytes(citation)]
            fields["citations"] = msgspec.Raw(msgspec.json.encode(own))
            kept.append(msgspec.Raw(msgspec.json.encode(fields)))
        else:
            kept.append(raw)
    return kept


def _with_content(message: msgspec.Raw, content: list[msgspec.Raw]) -> msgspec.Raw:
    fields = _FIELDS.decode(message)
    fields["content"] = msgspec.Raw(msgspec.json.encode(content))
    return msgspec.Raw(msgspec.json.encode(fields))


def _thinks_by_budget(fields: _Fields) -> bool:
    return "thinking" in fields and _THINKING.decode(fields["thinking"]).type == "enabled"


def _calls_without_thinking(content: list[msgspec.Raw]) -> bool:
    kinds = [_block(raw).type for raw in content]
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")


def _block(raw: msgspec.Raw) -> _Block:
    """The block, or an empty one where its fields have other types than ours: it is the API's to judge."""
    try:
        return _BLOCK.decode(raw)
    except msgspec.ValidationError:
        return _Block()
