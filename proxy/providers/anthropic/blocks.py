"""Content blocks of a request in Anthropic's words.

Spec: docs.anthropic.com "messages", "vision", "PDF support"; anthropic SDK 2.12 `types/*_block_param.py`. Media that the
API would refuse are refused here, with the field's name, before anything is sent.
"""

import base64
import binascii

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import (
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    ReasoningPart,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from proxy.providers.anthropic.names import sendable
from proxy.providers.custom_tools import wrap

Json = dict[str, object]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

IMAGE_TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
"""Media types that are taken, under the name that is sent."""

TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
"""Types beside `text/*` whose documents are text."""


def text_blocks(part: TextPart) -> list[Json]:
    """None for blank text, which the API refuses."""
    if not part.text.strip():
        return []
    return [with_cache({"type": "text", "text": part.text}, part.cache)]


def with_cache(block: Json, cache: bytes | None) -> Json:
    """`block` with the caller's `cache_control`, if there is one."""
    if cache is not None:
        block["cache_control"] = msgspec.Raw(cache)
    return block


def reasoning_block(part: ReasoningPart) -> Json | None:
    if part.origin is not Origin.ANTHROPIC:
        return None
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def call_block(part: ToolCallPart, id: str, path: str) -> Json:
    arguments = wrap(part.arguments) if part.kind is ToolKind.CUSTOM else _arguments(part.arguments)
    block: Json = {"type": "tool_use", "id": id, "name": sendable(part.name, path), "input": msgspec.Raw(arguments)}
    return with_cache(block, part.cache)


def result_block(id: str, content: list[Json], part: ToolResultPart) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": id}
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return with_cache(block, part.cache)


def image_block(part: ImagePart, path: str) -> Json:
    """Raises CallerError for a media type that is not taken, or another vendor's file."""
    match part.source:
        case DataSource(media_type, data):
            known = IMAGE_TYPES.get(media_type.lower())
            if known is None:
                raise _refused(path, f"an image of type {', '.join(sorted(set(IMAGE_TYPES.values())))}", media_type)
            source: Json = {"type": "base64", "media_type": known, "data": data}
        case UrlSource() | FileSource():
            source = _remote(part.source, path)
    return with_cache({"type": "image", "source": source}, part.cache)


def file_block(part: FilePart, path: str) -> Json:
    """Raises CallerError for a media type that is not taken, or another vendor's file."""
    match part.source:
        case DataSource(media_type, data):
            source = _document(media_type.partition(";")[0].strip().lower(), data, path)
        case UrlSource() | FileSource():
            source = _remote(part.source, path)
    block: Json = {"type": "document", "source": source}
    if part.name:
        block["title"] = part.name
    if part.context:
        block["context"] = part.context
    if part.citations:
        block["citations"] = {"enabled": True}
    return with_cache(block, part.cache)


def _arguments(text: str) -> bytes:
    """An object, as the API wants it: what is none (a cut call, a bare value) is put into one."""
    if not text.strip():
        return b"{}"
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return wrap(text)
    return text.encode()


def _document(media_type: str, data: str, path: str) -> Json:
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type.startswith("text/") or media_type in TEXT_TYPES:
        try:
            text = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, ValueError) as fault:
            raise _refused(path, "base64 of UTF-8 text", data[:40]) from fault
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise _refused(path, "a PDF or a text document", media_type)


def _remote(source: Source, path: str) -> Json:
    match source:
        case UrlSource(url):
            return {"type": "url", "url": url}
        case FileSource(id, Origin.ANTHROPIC):
            return {"type": "file", "file_id": id}
        case _:
            raise _refused(path, "a file of this provider, a URL, or the content itself", "another provider's file")


def _refused(path: str, expected: str, came: str) -> CallerError:
    message = f"{path}: expected {expected}, got {came[:200]!r}"
    return CallerError(ErrorKind.INVALID_REQUEST, message, param=path)
