"""Relays the request of a caller who speaks Gemini's own API: the URL is written anew, the body stays.

The model and what is asked of it stand in the URL, so the body has nothing to change, with two exceptions: a model named
inside it (`countTokens` may wrap a whole request), and thought signatures that this proxy handed out for another
provider's reasoning (`hub.carried`), which mean nothing here. All other bytes are the caller's.
"""

import base64
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from proxy.hub.carried import MARK
from proxy.hub.errors import CallerError, ErrorKind
from proxy.providers.base import NativeCall, Target, UpstreamRequest
from proxy.providers.gemini.contents import NO_SIGNATURE
from proxy.providers.gemini.models import GEMINI_3, generation, resource
from proxy.providers.gemini.request import JSON_HEADERS

DEFAULT_VERSION = "v1beta"
VERSIONS = frozenset({"v1", "v1alpha", "v1beta"})

CREDENTIAL_PARAMETERS = frozenset({"key", "access_token", "oauth_token", "bearer_token"})
"""Query parameters in which a caller's credentials stand: never sent on."""

PASSED_HEADERS = frozenset({"x-goog-api-client", "x-goog-request-params", "x-server-timeout"})
"""The caller's headers that the API reads and that hold no credentials."""

CARRIED_PREFIX: Final = base64.b64encode(MARK.encode()[: len(MARK) // 3 * 3])
"""How a thought signature begins that holds another provider's proof: `MARK`, in base64 because the field is bytes."""

T = TypeVar("T")
_Fields = dict[str, msgspec.Raw]

_FIELDS = msgspec.json.Decoder(_Fields)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def splice_request(call: NativeCall, target: Target) -> UpstreamRequest:
    """The caller's request for the target's model. Raises CallerError for a model name that is none."""
    version = call.path.get("version", "")
    version = version if version in VERSIONS else DEFAULT_VERSION
    name = resource(target.model)
    query = {key: value for key, value in call.query.items() if key.lower() not in CREDENTIAL_PARAMETERS}
    path = f"/{version}/{name}:{_verb(call)}"
    return UpstreamRequest(
        path=f"{path}?{urlencode(query)}" if query else path,
        body=_spliced(call.body, name, needs_signatures=generation(target.model) >= GEMINI_3),
        headers=JSON_HEADERS | {name: value for name, value in call.headers.items() if name in PASSED_HEADERS},
        stream_content_type="application/json" if call.stream and query.get("alt") != "sse" else None,
    )


def _verb(call: NativeCall) -> str:
    if call.operation == "count_tokens":
        return "countTokens"
    return "streamGenerateContent" if call.stream else "generateContent"


def _spliced(body: bytes, name: str, *, needs_signatures: bool) -> bytes:
    names_model = b'"model"' in body or b"\\u00" in body  # the word, or letters of it as escapes
    has_foreign = CARRIED_PREFIX in body or (not needs_signatures and NO_SIGNATURE.encode() in body)
    if not names_model and not has_foreign:
        return body
    fields = _read(_FIELDS, body)
    changed = False
    if names_model:
        changed = _name_model(fields, name)
    if has_foreign:
        changed |= _clean(fields, needs_signatures=needs_signatures)
    return msgspec.json.encode(fields) if changed else body


def _name_model(fields: _Fields, name: str) -> bool:
    """Put the target's model where the body names one. Whether it did."""
    changed = False
    for wrapper in ("generateContentRequest", "generate_content_request"):
        if wrapper in fields and bytes(fields[wrapper])[:1] == b"{":
            inner = _read(_FIELDS, fields[wrapper])
            if _name_model(inner, name):
                fields[wrapper] = msgspec.Raw(msgspec.json.encode(inner))
                changed = True
    if "model" in fields:
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
        changed = True
    return changed


# --- signatures of other providers


def _clean(fields: _Fields, *, needs_signatures: bool) -> bool:
    """Take other providers' proofs out of `contents`. Whether there were any."""
    changed = False
    for wrapper in ("generateContentRequest", "generate_content_request"):
        if wrapper in fields and bytes(fields[wrapper])[:1] == b"{":
            inner = _read(_FIELDS, fields[wrapper])
            if _clean(inner, needs_signatures=needs_signatures):
                fields[wrapper] = msgspec.Raw(msgspec.json.encode(inner))
                changed = True
    raw = fields.get("contents")
    if raw is None or bytes(raw)[:1] != b"[":
        return changed
    contents = [_clean_content(content, needs_signatures=needs_signatures) for content in _read(_LIST, raw)]
    fields["contents"] = msgspec.Raw(msgspec.json.encode([content for content in contents if content is not None]))
    return True


def _clean_content(content: msgspec.Raw, *, needs_signatures: bool) -> msgspec.Raw | None:
    """The content without foreign proofs; `None` when it held nothing else."""
    if b"ignature" not in bytes(content):
        return content
    fields = _read(_FIELDS, content)
    if bytes(fields.get("parts", b""))[:1] != b"[":
        return content
    cleaned = [_clean_part(part, needs_signatures=needs_signatures) for part in _read(_LIST, fields["parts"])]
    parts = [part for part in cleaned if part is not None]
    if not parts:
        return None
    fields["parts"] = msgspec.Raw(msgspec.json.encode(parts))
    return msgspec.Raw(msgspec.json.encode(fields))


def _clean_part(part: msgspec.Raw, *, needs_signatures: bool) -> msgspec.Raw | None:
    if b"ignature" not in bytes(part):
        return part
    fields = _read(_FIELDS, part)
    name = next((name for name in ("thoughtSignature", "thought_signature") if name in fields), None)
    if name is None or not _is_foreign(fields[name], needs_signatures=needs_signatures):
        return part
    del fields[name]
    if "functionCall" in fields or "function_call" in fields:
        if needs_signatures:
            fields["thoughtSignature"] = msgspec.Raw(msgspec.json.encode(NO_SIGNATURE))
    elif bytes(fields.get("text", b'""')) == b'""' and set(fields) <= {"text", "thought"}:
        return None
    return msgspec.Raw(msgspec.json.encode(fields))


def _is_foreign(signature: msgspec.Raw, *, needs_signatures: bool) -> bool:
    """Whether a signature holds another provider's proof, or says that there is none to a model that asks for none."""
    text = bytes(signature).strip(b'"')
    return text.startswith(CARRIED_PREFIX) or (not needs_signatures and text == NO_SIGNATURE.encode())


def _read(decoder: msgspec.json.Decoder[T], json: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(json)
    except (ValueError, RecursionError) as fault:
        raise CallerError(ErrorKind.INVALID_REQUEST, "The body is not a request of the Gemini API.") from fault
